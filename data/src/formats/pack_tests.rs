//! Tests of packs, written as both pythons write them.

use super::*;
use image::{GrayImage, ImageFormat, Luma};
use proptest::prelude::*;
use std::fs;

fn png(level: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = GrayImage::from_pixel(2, 3, Luma([level]));
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// `pickle.dumps((images, same), protocol=2)`, with python 3's `bytes` (`true`), which protocol
/// 3 has, or python 2's strings.
fn pickled(images: &[Vec<u8>], same: &[bool], python3: bool) -> Vec<u8> {
    let mut out = vec![0x80, if python3 { 3 } else { 2 }];
    out.extend(b"](");
    for image in images {
        out.push(if python3 { b'B' } else { b'T' });
        out.extend((image.len() as u32).to_le_bytes());
        out.extend(image);
    }
    out.extend(b"e](");
    same.iter()
        .for_each(|&s| out.push(if s { 0x88 } else { 0x89 }));
    out.extend(b"e\x86.");
    out
}

fn shared(images: &[Vec<u8>]) -> Vec<Arc<[u8]>> {
    images.iter().map(|image| image[..].into()).collect()
}

fn parsed(bytes: &[u8]) -> std::result::Result<Pack, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lfw.bin");
    fs::write(&path, bytes).unwrap();
    read(path).map_err(|e| e.to_string())
}

#[test]
fn pairs_of_both_pythons_are_read() {
    let images: Vec<Vec<u8>> = (0..4).map(|i| png(10 * i)).collect();
    for python3 in [true, false] {
        let pack = parsed(&pickled(&images, &[true, false], python3)).unwrap();
        assert_eq!(
            (&pack.images, &pack.same[..]),
            (&shared(&images), &[true, false][..])
        );
        let picture = pack.decode(3, 1).unwrap();
        assert_eq!((picture.shape(), picture.pixels()[0]), ([3, 2, 1], 30));
    }
    let broken = parsed(&pickled(&[vec![1], vec![2]], &[true], true)).unwrap();
    let message = broken.decode(1, 3).unwrap_err().to_string();
    assert!(
        message.contains("lfw.bin, image 1: not a readable image"),
        "{message}"
    );
}

#[test]
fn arrays_and_numbers_stand_for_bytes_and_truths() {
    let image = png(77);
    let array = [
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01".to_vec(),
        vec![b'M', image.len() as u8, (image.len() >> 8) as u8, 0x85],
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89B".to_vec(),
        (image.len() as u32).to_le_bytes().to_vec(),
        image.clone(),
        b"tb".to_vec(),
    ];
    let bytes = [
        b"\x80\x03](".to_vec(),
        array.concat(),
        array.concat(),
        b"e]K\x00a\x86.".to_vec(),
    ];
    let pack = parsed(&bytes.concat()).unwrap();
    assert_eq!(
        (pack.images, pack.same),
        (shared(&[image.clone(), image]), vec![false])
    );
}

#[test]
fn packs_are_loaded_in_one_shape_and_labelled_by_pair() {
    let wide = |level: u8| {
        let mut bytes = Cursor::new(Vec::new());
        let halves = |x, _| Luma([if x < 2 { level } else { 255 }]);
        let image = GrayImage::from_fn(4, 2, halves);
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let mut pack = Pack {
        name: "pack".into(),
        images: (0..600).map(|i| wide((i % 200) as u8).into()).collect(),
        same: (0..300).map(|pair| pair % 2 == 0).collect(),
    };
    let shape = [2, 2, 1];
    let load = |pack: &Pack, frame, how| pack.load(shape, frame, how);
    let (set, numbers, bad) = load(&pack, Frame::Centre(1.0), Unreadable::Refuse).unwrap();
    assert!(bad.is_empty() && numbers.iter().copied().eq(0..600));
    assert_eq!(set.labels()[..7], [0, 0, 1, 2, 3, 3, 4]);
    assert_eq!(set.classes()[..5], ["0", "1a", "1b", "2", "3a"]);
    // The middle of number 301, beyond the first block, is half its level, half white.
    assert_eq!(set.image(301), [101, 255, 101, 255]);
    let (set, ..) = load(&pack, Frame::Centre(0.5), Unreadable::Refuse).unwrap();
    assert_eq!(set.len(), 600);

    pack.images[1] = [7][..].into();
    let message = load(&pack, Frame::Stretch, Unreadable::Refuse)
        .unwrap_err()
        .to_string();
    assert!(message.contains("pack, image 1"), "{message}");
    let (set, numbers, bad) = load(&pack, Frame::Stretch, Unreadable::Skip).unwrap();
    assert_eq!((set.len(), bad.len(), &numbers[..2]), (599, 1, &[0, 2][..]));
    assert_eq!(set.labels()[..4], [0, 1, 2, 3]);
    assert!(load(&pack, Frame::Centre(0.0), Unreadable::Skip).is_err());
}

#[test]
fn a_folder_stands_for_its_packs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let message = |result: Result<Pack>| result.unwrap_err().to_string();
    assert!(message(read_only(folder)).contains("files like lfw.bin"));
    let whole = pickled(&[png(1), png(2)], &[true], true);
    for name in ["lfw.bin", "train.rec"] {
        fs::write(folder.join(name), &whole).unwrap();
    }
    assert_eq!(read_only(folder).unwrap().len(), 1);
    assert_eq!(read_only(folder.join("lfw.bin")).unwrap().len(), 1);
    fs::write(folder.join("cfp_fp.bin"), &whole).unwrap();
    let both = ["cfp_fp.bin", "lfw.bin"].map(|name| folder.join(name));
    assert_eq!(find(folder).unwrap(), both);
    let text = message(read_only(folder));
    assert!(
        text.contains("cfp_fp.bin") && text.contains("name the file"),
        "{text}"
    );
}

/// Images of a thousand pairs that the pickle holds once are held once.
#[test]
fn an_image_of_many_pairs_is_shared() {
    let mut bytes = [b"\x80\x03](B".to_vec(), vec![0, 1, 0, 0], vec![9; 256]].concat();
    bytes.extend(b"q\x00");
    (1..2000).for_each(|_| bytes.extend(b"h\x00"));
    bytes.extend(b"e](");
    bytes.extend([0x88; 1000]);
    bytes.extend(b"e\x86.");
    let pack = parsed(&bytes).unwrap();
    assert_eq!((pack.len(), pack.images[1999][..].len()), (1000, 256));
    assert!(
        pack.images
            .iter()
            .all(|image| Arc::ptr_eq(image, &pack.images[0]))
    );
}

#[test]
fn folds_are_those_of_scikit_learn() {
    let sizes = |pairs: usize| {
        let pack = Pack {
            name: String::new(),
            images: Vec::new(),
            same: vec![true; pairs],
        };
        let mut sizes = vec![0; FOLDS];
        let folds: Vec<usize> = (0..pairs).map(|p| pack.fold(p)).collect();
        assert!(folds.is_sorted());
        folds.iter().for_each(|&f| sizes[f] += 1);
        sizes
    };
    assert_eq!(sizes(6000), [600; 10]);
    // KFold(10).split(range(23))
    assert_eq!(sizes(23), [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]);
    assert_eq!(sizes(3), [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn other_pickles_and_damage_are_named() {
    let one = [png(1), png(2)];
    let whole = pickled(&one, &[true], true);
    for (bytes, part) in [
        (whole[..whole.len() - 9].to_vec(), "a pickle of two lists"),
        (b"\x80\x03]q\x00.".to_vec(), "found another object"),
        (
            pickled(&one, &[true, true], true),
            "two images for each of 2 pairs",
        ),
        (b"\x80\x03](K\x01K\x02e]\x88a\x86.".to_vec(), "number 0"),
        (
            b"\x80\x03](C\x01aC\x01be]K\x05a\x86.".to_vec(),
            "for pair 0",
        ),
        // What would call a function is data, and no list.
        (
            b"\x80\x03cos\nsystem\nX\x02\x00\x00\x00ls\x85R.".to_vec(),
            "two lists",
        ),
    ] {
        let message = parsed(&bytes).unwrap_err();
        assert!(
            message.contains("lfw.bin") && message.contains(part),
            "{message}"
        );
    }
    assert!(
        read("no/such.bin")
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
}

proptest! {
    #[test]
    fn no_pack_makes_the_reader_panic(at in 0usize..200, byte: u8, cut in 0usize..200) {
        let mut bytes = pickled(&[png(1), png(2)], &[true], true);
        let at = at % bytes.len();
        bytes[at] = byte;
        let keep = bytes.len() - cut % bytes.len();
        bytes.truncate(keep);
        if let Ok(pack) = parsed(&bytes) {
            (0..pack.images.len()).for_each(|i| drop(pack.decode(i, 3)));
        }
    }
}
