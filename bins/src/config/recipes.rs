//! The recipes inside the program.

/// A recipe that ships inside the program.
pub struct Recipe {
    /// What `train` is given.
    pub name: &'static str,
    /// The configuration. Comments at its head say what it is: the first line what it trains and
    /// shows, the others which data it needs and where the official page is.
    pub text: &'static str,
}

impl Recipe {
    /// One line: what it trains and shows.
    pub fn about(&self) -> &'static str {
        self.head().next().unwrap_or_default()
    }

    /// Which data it needs, where they are from; nothing if they are inside the program.
    pub fn needs(&self) -> Vec<&'static str> {
        self.head().skip(1).collect()
    }

    fn head(&self) -> impl Iterator<Item = &'static str> {
        self.text.lines().map_while(|line| line.strip_prefix("# "))
    }
}

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        /// All recipes, in the order they are listed.
        pub const RECIPES: &[Recipe] = &[$(Recipe {
            name: $name,
            text: include_str!(concat!("../../recipes/", $name, ".toml")),
        }),*];
    };
}

recipes![
    "mnist",
    "mnist-2d",
    "fashion-mnist",
    "cifar10",
    "cifar100",
    "fsdd",
    "esc10",
    "esc50",
    "speech-commands",
    "orl",
    "lfw",
    "omniglot",
    "cub",
    "cars",
    "sop",
    "market1501",
    "cuhk03-labeled",
    "cuhk03-detected",
    "veri776",
    "reid-synth",
    "vehicles-synth",
];
