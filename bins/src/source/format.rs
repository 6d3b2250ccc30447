//! The layouts of data sets that the program reads, and what is usual with each.

use crate::protocol::Protocol;
use serde::{Deserialize, Serialize};

/// A layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "FORMATS describes them")]
pub enum Format {
    #[default]
    #[serde(alias = "idx")]
    Mnist,
    Cifar10,
    Cifar100,
    Cifar100Coarse,
    Folder,
    Manifest,
    Omniglot,
    Orl,
    Lfw,
    #[serde(rename = "lfw-view1")]
    LfwView1,
    Insightface,
    Market1501,
    #[serde(alias = "dukemtmc")]
    Duke,
    Cuhk03Labeled,
    Cuhk03Detected,
    Cuhk03LabeledClassic,
    Cuhk03DetectedClassic,
    Veri776,
    #[serde(alias = "vehicleid-800")]
    Vehicleid,
    #[serde(rename = "vehicleid-1600")]
    Vehicleid1600,
    #[serde(rename = "vehicleid-2400")]
    Vehicleid2400,
    Cub,
    #[serde(alias = "cars196")]
    Cars,
    Sop,
    #[serde(alias = "inshop")]
    InShop,
    Fsdd,
    Esc10,
    Esc50,
    #[serde(alias = "urbansound8k")]
    Urbansound,
    #[serde(alias = "speech-commands-35")]
    SpeechCommands,
    #[serde(rename = "speech-commands-12")]
    SpeechCommands12,
}

/// What is usual with a layout.
#[derive(Clone, Copy, Debug)]
pub struct FormatInfo {
    /// The layout.
    pub format: Format,
    /// The name in configurations.
    pub name: &'static str,
    /// What the folder holds.
    pub layout: &'static str,
    /// How it is cut and judged unless stated otherwise.
    pub protocol: Protocol,
    /// Height and width of images unless stated otherwise; `None` where the files have one,
    /// and for recordings.
    pub size: Option<[usize; 2]>,
    /// Channels unless stated otherwise.
    pub channels: usize,
}

macro_rules! formats {
    ($($format:ident $name:literal $protocol:ident $size:expr, $channels:literal, $layout:literal;)*) => {
        /// Every layout, in the order they are listed.
        pub const FORMATS: &[FormatInfo] = &[$(FormatInfo {
            format: Format::$format,
            name: $name,
            layout: $layout,
            protocol: Protocol::$protocol,
            size: $size,
            channels: $channels,
        }),*];
    };
}

formats! {
    Mnist "mnist" Classify None, 1,
        "the four IDX files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, plain or with .gz";
    Cifar10 "cifar10" Classify None, 3,
        "data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the same names of the python version";
    Cifar100 "cifar100" Classify None, 3,
        "train.bin and test.bin, or train and test of the python version";
    Cifar100Coarse "cifar100-coarse" Classify None, 3,
        "train.bin and test.bin, or train and test of the python version";
    Folder "folder" Classify Some([64, 64]), 3,
        "a folder for each class with its images, or train/, val/ and test/ with such folders";
    Manifest "manifest" Classify Some([64, 64]), 3,
        "manifest.csv with the columns path, label, split and, where they are known, camera, is_query, is_gallery, fold, x1, y1, x2, y2";
    Omniglot "omniglot" Retrieve Some([64, 64]), 1,
        "images_background/ALPHABET/characterNN/NNNN_NN.png, images_evaluation/ likewise, and for the one-shot runs all_runs/runNN/class_labels.txt";
    Orl "orl" Verify Some([112, 92]), 1,
        "s1/1.pgm to s40/10.pgm";
    Lfw "lfw" Verify Some([112, 112]), 3,
        "a folder for each person, Name_Surname/Name_Surname_0001.jpg, and in it or beside it pairs.txt";
    LfwView1 "lfw-view1" Verify Some([112, 112]), 3,
        "as lfw, but pairsDevTrain.txt, pairsDevTest.txt and, to train on, peopleDevTrain.txt";
    Insightface "insightface" Verify Some([112, 112]), 3,
        "lfw.bin, cfp_fp.bin, agedb_30.bin … of insightface; or one such file itself";
    Market1501 "market1501" Reid Some([256, 128]), 3,
        "bounding_box_train, query and bounding_box_test with images named like 0002_c1s1_000451_03.jpg";
    Duke "duke" Reid Some([256, 128]), 3,
        "bounding_box_train, query and bounding_box_test with images named like 0001_c2_f0046182.jpg";
    Cuhk03Labeled "cuhk03-labeled" Reid Some([256, 128]), 3,
        "the new protocol: cuhk03_new_protocol_config_labeled.mat and images_labeled/1_001_1_01.png …, or bounding_box_train, query and bounding_box_test with images named like 0001_c1_1_000001.png";
    Cuhk03Detected "cuhk03-detected" Reid Some([256, 128]), 3,
        "the new protocol: cuhk03_new_protocol_config_detected.mat and images_detected/1_001_1_01.png …, or bounding_box_train, query and bounding_box_test with images named like 0001_c1_1_000001.png";
    Cuhk03LabeledClassic "cuhk03-labeled-classic" Reid Some([256, 128]), 3,
        "the classic 20 splits: testsets.mat (the variable of cuhk-03.mat, saved with -v7) and images_labeled/1_001_1_01.png …";
    Cuhk03DetectedClassic "cuhk03-detected-classic" Reid Some([256, 128]), 3,
        "the classic 20 splits: testsets.mat (the variable of cuhk-03.mat, saved with -v7) and images_detected/1_001_1_01.png …";
    Veri776 "veri776" Reid Some([256, 256]), 3,
        "image_train, image_query and image_test with images named like 0001_c001_00016450_0.jpg";
    Vehicleid "vehicleid" Reid Some([256, 256]), 3,
        "image/0000001.jpg … and train_test_split/train_list.txt, test_list_800.txt";
    Vehicleid1600 "vehicleid-1600" Reid Some([256, 256]), 3,
        "image/0000001.jpg … and train_test_split/train_list.txt, test_list_1600.txt";
    Vehicleid2400 "vehicleid-2400" Reid Some([256, 256]), 3,
        "image/0000001.jpg … and train_test_split/train_list.txt, test_list_2400.txt";
    Cub "cub" Retrieve Some([224, 224]), 3,
        "images.txt, image_class_labels.txt and images/NNN.Name/*.jpg, as in CUB_200_2011";
    Cars "cars" Retrieve Some([224, 224]), 3,
        "cars_annos.mat and car_ims/000001.jpg …, or names.csv, anno_train.csv and anno_test.csv with car_data/";
    Sop "sop" Retrieve Some([224, 224]), 3,
        "Ebay_train.txt, Ebay_test.txt and the folders they name, as in Stanford_Online_Products";
    InShop "in-shop" Retrieve Some([224, 224]), 3,
        "Eval/list_eval_partition.txt and img/";
    Fsdd "fsdd" Classify None, 1,
        "recordings/7_jackson_32.wav …";
    Esc10 "esc10" Classify None, 1,
        "audio/1-100032-A-0.wav … and meta/esc50.csv or meta/esc10.csv";
    Esc50 "esc50" Classify None, 1,
        "audio/1-100032-A-0.wav … and meta/esc50.csv";
    Urbansound "urbansound" Classify None, 1,
        "audio/fold1/101415-3-0-2.wav … and metadata/UrbanSound8K.csv";
    SpeechCommands "speech-commands" Classify None, 1,
        "a folder for each word, as yes/0a7c2a8d_nohash_0.wav, validation_list.txt, testing_list.txt and _background_noise_";
    SpeechCommands12 "speech-commands-12" Classify None, 1,
        "as speech-commands; ten commands, silence and all other words are told apart";
}

impl Format {
    /// What is usual with it.
    pub fn info(self) -> &'static FormatInfo {
        let found = FORMATS.iter().find(|info| info.format == self);
        found.expect("every format is in the table, as a test asserts")
    }

    /// Into how many folds its authors have cut it for training and test in turn.
    pub fn folds(self) -> Option<u32> {
        self.folding().map(|(_, folds)| folds)
    }

    /// Whether both are cut into the same folds, so that what one has learnt from is in the
    /// training part of the other.
    pub fn shares_folds(self, other: Format) -> bool {
        self.folding().is_some() && self.folding() == other.folding()
    }

    /// Whose folds they are, and how many.
    fn folding(self) -> Option<(&'static str, u32)> {
        match self {
            Format::Esc10 | Format::Esc50 => Some(("ESC", 5)),
            Format::Urbansound => Some(("UrbanSound8K", 10)),
            Format::Cuhk03LabeledClassic | Format::Cuhk03DetectedClassic => Some(("CUHK03", 20)),
            _ => None,
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Format::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Data;

    #[test]
    fn another_data_set_is_tested_by_the_fold_that_training_left_out_or_by_none() {
        let learnt = |format, fold| Data {
            format,
            fold,
            ..Data::default()
        };
        let (labeled, detected) = (Format::Cuhk03LabeledClassic, Format::Cuhk03DetectedClassic);
        assert_eq!(learnt(labeled, Some(7)).fold_for(detected), Some(7));
        // Without a fold the first was left out.
        assert_eq!(learnt(detected, None).fold_for(labeled), Some(1));
        let fold_3 = learnt(Format::Esc50, Some(3));
        assert_eq!(fold_3.fold_for(Format::Esc10), Some(3));
        assert_eq!(fold_3.fold_for(Format::Urbansound), None);
        assert_eq!(fold_3.fold_for(labeled), None);
        assert_eq!(
            learnt(Format::Market1501, None).fold_for(Format::Duke),
            None
        );
        assert_eq!(learnt(Format::Mnist, None).fold_for(detected), None);
    }

    /// The list of the table is the list of the type: serde names all variants in its error.
    #[test]
    fn names_are_those_of_configurations_and_none_is_missing() {
        for info in FORMATS {
            assert_eq!(serde_json::to_value(info.format).unwrap(), info.name);
            assert_eq!(info.format.info().name, info.name);
        }
        let error = serde_json::from_str::<Format>("\"?\"")
            .unwrap_err()
            .to_string();
        let known = error.split('`').skip(3).step_by(2);
        let aliases = [
            "idx",
            "dukemtmc",
            "vehicleid-800",
            "cars196",
            "inshop",
            "urbansound8k",
            "speech-commands-35",
        ];
        let known: Vec<&str> = known.filter(|name| !aliases.contains(name)).collect();
        assert!(
            known
                .iter()
                .all(|name| FORMATS.iter().any(|f| f.name == *name)),
            "{error}"
        );
        assert_eq!(known.len(), FORMATS.len(), "{error}");
    }
}
