use super::*;

/// A value in full.
fn shown(pickle: &Pickle<'_>, value: &Value<'_>) -> String {
    let all = |items: &[Place]| -> String {
        let items = items.iter().map(|&item| shown(pickle, &pickle[item]));
        items.collect::<Vec<_>>().join(", ")
    };
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Whole(value) => value.to_string(),
        Value::Bytes(value) => format!("b\"{}\"", value.escape_ascii()),
        Value::Text(value) => format!("{value:?}"),
        Value::List(items) => format!("[{}]", all(items)),
        Value::Tuple(items) => format!("({})", all(items)),
        Value::Dict(items) => {
            let item = |&(key, value): &(Place, Place)| {
                let [key, value] = [key, value].map(|at| shown(pickle, &pickle[at]));
                format!("{key}: {value}")
            };
            format!(
                "{{{}}}",
                items.iter().map(item).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(None) => "object".into(),
        Value::Object(Some(state)) => format!("object of {}", shown(pickle, &pickle[*state])),
        Value::Encode | Value::Other => "other".into(),
    }
}

fn read(bytes: &[u8]) -> Result<String, String> {
    let pickle = Pickle::read(bytes).map_err(|broken| broken.found)?;
    Ok(shown(&pickle, pickle.root()))
}

/// `pickle.dumps` of one value by python 3.12 in protocols 0 to 5:
///
/// ```python
/// {"a": [1, -2, 300, 70000, -70000, 2**40, True, False, None, 1.5],
///  b"b": (b"\x00\xff'\"\\\n", "\xe4x"),
///  "c": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "same": [b"xyz"] * 3}
/// ```
#[test]
fn all_protocols_say_the_same() {
    const PICKLES: [&str; 6] = [
        "286470300a56610a70310a286c70320a49310a61492d320a61493330300a614937303030300a61492d37303030300a614c313039393531313632373737364c0a614930310a614930300a614e6146312e350a6173635f636f646563730a656e636f64650a70330a2856620a70340a566c6174696e310a70350a7470360a5270370a2867330a28565c7530303030ff27225c75303035635c75303030610a70380a67350a7470390a527031300a56e4780a7031310a747031320a7356630a7031330a2828742849310a747031340a2849310a49320a747031350a2849310a49320a49330a747031360a2849310a49320a49330a49340a747031370a747031380a735673616d650a7031390a286c7032300a67330a285678797a0a7032310a67350a747032320a527032330a616732330a616732330a61732e",
        "7d71002858010000006171015d7102284b014afeffffff4d2c014a701101004a90eefeff4c313039393531313632373737364c0a4930310a4930300a4e473ff800000000000065635f636f646563730a656e636f64650a710328580100000062710458060000006c6174696e31710574710652710728680328580700000000c3bf27225c0a7108680574710952710a5803000000c3a478710b74710c580100000063710d2829284b0174710e284b014b0274710f284b014b024b03747110284b014b024b034b04747111747112580400000073616d6571135d711428680328580300000078797a711568057471165271176817681765752e",
        "80027d71002858010000006171015d7102284b014afeffffff4d2c014a701101004a90eefeff8a0600000000000188894e473ff800000000000065635f636f646563730a656e636f64650a7103580100000062710458060000006c6174696e3171058671065271076803580700000000c3bf27225c0a7108680586710952710a5803000000c3a478710b86710c580100000063710d28294b0185710e4b014b0286710f4b014b024b03877110284b014b024b034b04747111747112580400000073616d6571135d7114286803580300000078797a711568058671165271176817681765752e",
        "80037d71002858010000006171015d7102284b014afeffffff4d2c014a701101004a90eefeff8a0600000000000188894e473ff8000000000000654301627103430600ff27225c0a71045803000000c3a4787105867106580100000063710728294b018571084b014b028671094b014b024b0387710a284b014b024b034b0474710b74710c580400000073616d65710d5d710e28430378797a710f680f680f65752e",
        "80049584000000000000007d94288c0161945d94284b014afeffffff4d2c014a701101004a90eefeff8a0600000000000188894e473ff80000000000006543016294430600ff27225c0a948c03c3a4789486948c01639428294b0185944b014b0286944b014b024b038794284b014b024b034b04749474948c0473616d65945d9428430378797a94680f680f65752e",
        "80059584000000000000007d94288c0161945d94284b014afeffffff4d2c014a701101004a90eefeff8a0600000000000188894e473ff80000000000006543016294430600ff27225c0a948c03c3a4789486948c01639428294b0185944b014b0286944b014b024b038794284b014b024b034b04749474948c0473616d65945d9428430378797a94680f680f65752e",
    ];
    let expected = concat!(
        r#"{"a": [1, -2, 300, 70000, -70000, 1099511627776, true, false, other, other], "#,
        r#"b"b": (b"\x00\xff\'\"\\\n", "äx"), "#,
        r#""c": ((), (1), (1, 2), (1, 2, 3), (1, 2, 3, 4)), "same": [b"xyz", b"xyz", b"xyz"]}"#
    );
    for hex in PICKLES {
        let digits = (0..hex.len()).step_by(2).map(|i| &hex[i..i + 2]);
        let bytes: Vec<u8> = digits.map(|d| u8::from_str_radix(d, 16).unwrap()).collect();
        assert_eq!(read(&bytes).unwrap(), expected);
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]).unwrap_err(), "the end of the file");
        }
    }
}

#[test]
fn strings_of_python_2_and_objects_are_values() {
    assert_eq!(read(b"S'a\\x62\\n\\'\\\\'\n.").unwrap(), r#"b"ab\n\'\\""#);
    assert_eq!(read(b"\x8a\x01\xfe.").unwrap(), "-2");
    assert_eq!(read(b"\x8a\x09aaaaaaaaa.").unwrap(), "other");
    // A function is not called; what it would make is given its state, which others may refer to.
    let built = b"](cos\nsystem\nX\x02\x00\x00\x00ls\x85Rq\x00K\x07bh\x00e.";
    assert_eq!(read(built).unwrap(), "[object of 7, object of 7]");
}

#[test]
fn what_is_referred_to_often_is_there_once() {
    let mut bytes = b"](B\x00\x10\x00\x00".to_vec();
    bytes.extend([7; 4096]);
    bytes.extend(b"q\x00");
    (0..4096).for_each(|_| bytes.extend(b"h\x00"));
    bytes.extend(b"e.");
    let pickle = Pickle::read(&bytes).unwrap();
    let Value::List(items) = pickle.root() else {
        panic!("a list");
    };
    assert_eq!((items.len(), pickle.values.len()), (4097, 2));
    assert!(items.iter().all(|item| item == &items[0]));
    // A text is encoded once, not again and again.
    let mut bytes = b"](c_codecs\nencode\nq\x00X\x40\x00\x00\x00".to_vec();
    bytes.extend([b'x'; 64]);
    bytes.extend(b"\x85q\x01R");
    assert!(
        read(&[&bytes[..], b"e."].concat())
            .unwrap()
            .contains("b\"xxx")
    );
    (0..9).for_each(|_| bytes.extend(b"h\x00h\x01R"));
    bytes.extend(b"e.");
    assert_eq!(
        read(&bytes).unwrap_err(),
        "one text encoded again and again"
    );
}

#[test]
fn programs_that_no_pickle_is_are_refused() {
    for (bytes, found) in [
        (&b""[..], "the end of the file"),
        (b".", "without its values"),
        (b"(.", "without its values"),
        (b"e", "without its mark"),
        (b"K\x01K\x02a", "no list"),
        (b"K\x01K\x02K\x03s", "no dictionary"),
        (b"(K\x01d", "a key without a value"),
        (b"K\x01K\x02b", "no object"),
        (b"h\x00", "that is empty"),
        (b"gx\n", "no number"),
        (b"]2\x86.", "the instruction '2'"),
        (b"S'a\n", "without its quotes"),
        (b"S'\n", "without its quotes"),
        (b"S'\\xg0'\n", "a broken escape"),
        (b"V\\u12\n", "a broken escape"),
        (b"X\x01\x00\x00\x00\xff", "not UTF-8"),
        (
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff",
            "the end of the file",
        ),
        (b"c_codecs\nencode\nK\x01R", "without a text"),
        (
            b"c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xac\x85R",
            "not in Latin-1",
        ),
    ] {
        let message = read(bytes).unwrap_err();
        assert!(
            message.contains(found),
            "{}: {message}",
            bytes.escape_ascii()
        );
    }
}
