// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys of 1024, 2048 and 4096 bits, each with a message and its cipher. A Python program computed them, without any
//! code of this project. They are no secrets: they follow from the labels.
//!
//! ```python
//! def stream(label, n):                       # n bytes
//!     blocks = (hashlib.sha256(b"%s %d" % (label, i)).digest() for i in itertools.count())
//!     return int.from_bytes(b"".join(itertools.islice(blocks, n // 32 + 1))[:n], "big")
//! def prime(label, n):                        # n bytes, the two highest bits set, the next prime for e = 65537
//!     c = stream(label, n) | 3 << 8 * n - 2 | 1
//!     while not is_prime(c) or (c - 1) % 65537 == 0: c += 2
//!     return c
//! for bits, tag in (1024, b""), (2048, b" 2048"), (4096, b" 4096"):
//!     p, q = sorted((prime(b"kaput p" + tag, bits // 16), prime(b"kaput q" + tag, bits // 16)), reverse=True)
//!     modulus, private_exponent = p * q, pow(65537, -1, (p - 1) * (q - 1))
//!     dp, dq, u = private_exponent % (p - 1), private_exponent % (q - 1), pow(q, -1, p)
//!     plain = stream(b"kaput message" + tag, bits // 8 - 1)
//!     cipher = pow(plain, 65537, modulus)
//!     assert pow(cipher, private_exponent, modulus) == plain
//! ```

/// A key with a message and its cipher. Big-endian numbers, as long as the modulus or half as long.
pub(crate) struct Key {
    pub(crate) modulus: &'static [u8],
    /// Empty where it is not used: computing with it takes long.
    pub(crate) private_exponent: &'static [u8],
    pub(crate) p: &'static [u8],
    pub(crate) q: &'static [u8],
    pub(crate) dp: &'static [u8],
    pub(crate) dq: &'static [u8],
    pub(crate) u: &'static [u8],
    pub(crate) plain: &'static [u8],
    pub(crate) cipher: &'static [u8],
}

pub(crate) static BITS_1024: Key = Key {
    modulus: &hex::<128>(concat!(
        "c7ba97eee618d922973fc04343c70b5343819936eb1dc4f3f5324a5c2178a33a1b350c24a58d15c57169e24ec7c0bbbd04cc",
        "fc71b39985ae06314464cbfb6ba99cef5c05c190546c442adce453ce648aaea1024d65aa5aaa49dcf14c2b0cdcd7ed97ee54",
        "8ca27f07ccedd2fbf8a4f02a4e25702cc29acd5d393499ace4e758e5",
    )),
    private_exponent: &hex::<128>(concat!(
        "6416a3d0ba4a3575da29be6576efa643418f0e82b0ec2828c0f544c24a9bb3e08885dae1fa7c6b2e98992129ad7c6e1858f1",
        "88884a2263154451281f0301a97f613e3a8bbf1dff02ab698a398facc638a7ca0910a407b51a62c904ff9744843a157f300a",
        "6955599595fc846546c62b13282719b3a7438c27e2e29c3444634839",
    )),
    p: &hex::<64>(concat!(
        "e9bb677e9b272b4e192abd3b418d45cbe4d14dba9af95405d4b672d962c3500b8ff8e3f3c66be2699077b6e68e60a855b63e",
        "a1b05c89284c51d80260386ab6c3",
    )),
    q: &hex::<64>(concat!(
        "dac1dee7b3443e34a52914b53371431ee639e5792b5078329f2f61be282de5cbb68d15af0a37c61c60652122e820a0be8a32",
        "372e5d40573b08ec32196cee4737",
    )),
    dp: &hex::<64>(concat!(
        "baf478bb0f558c5102d669d86cfd985797e6471b3cfcb3d59a2879c3223981dc4dc3d269da4bcf258b3606a97237244eb2e0",
        "742a8249ff5ed494488a38763b4b",
    )),
    dq: &hex::<64>(concat!(
        "3f9eeaa91025e4c182d733c28f377d81db0b3385cde7154e03a5d01371b40784fb8e84a3e7a0d8e91fcfc99751534bec9e5c",
        "8457e39ef6bfa094b0ed5c14e079",
    )),
    u: &hex::<64>(concat!(
        "4589c9f38768d269343353988bcfa0f87c161b08e5f76522b0218bbc0e155eaf7f06520e45f0ff49d92fc35a34a5c1133a95",
        "d72a34271daf181dc8b6bd353d3e",
    )),
    plain: &hex::<128>(concat!(
        "009817269b756959c3fb52b2ed23372986d652f96eb2032b12e5bc80e300d0b42ea3826ac3af4db3e7f1cf01b7dfc75859e2",
        "a373ba04de2b8559bf855d7155ee5cc5f332d70e400031252d2c1da4833d1a53a767f55eb1f13895827bfb4e99fdddb577d2",
        "e32bd318bdc86af907a9240a1b821e9a02bb40c1a9f9d7355a188a31",
    )),
    cipher: &hex::<128>(concat!(
        "72b1761d29abb291c94ec2234b0c1f6be28b850f1aef3992e5e004ac048be6c95df8e8752420a88a983f1d5a5e825818bb68",
        "0da6ecbd828833d169f032f5a7edabba27839fed6bda18cf648ca294585ad514b677931eadf7cd77cda86dd5cf6374b0eeb1",
        "9c10216fbca2c31e7e5f8a0ff730b3e3bf3e004fab7ad5bc8719dac6",
    )),
};

pub(crate) static BITS_2048: Key = Key {
    modulus: &hex::<256>(concat!(
        "c8684b73099c3fda45a4367606ad732c55fde4491187572cd22a60617492a2d3af0bb0c9d41351b072a494ce6a6e3cd04a17",
        "d1bd43d9564e2e3131d00ce9d24080c1483da53cf23c458a6be16b5f218e9658f14a177169115af947aba9973bd8f3f92a0f",
        "1d5fa9472fb905bc692f21c261769830fe718c4794aa8e958e0be4a2f0938d7f4dd3a6a344221757707b466681c058116649",
        "fa37ea0fb868efc19e5733e4e2c68d27ee3f145b255ae1748ce0c348e21320b94118e40d6e25dacb02a3b2594740796900e7",
        "79e2963336e97b8b4316806d5b619387386759bb81181a4da80ccc6f74590e51a07b6041f2920eba611b28be95225c4a8a50",
        "4668d36e84bb",
    )),
    private_exponent: &hex::<256>(concat!(
        "a2794b91fc1c9cf7ccb6112126d0c02b159c3cd3b04e553295409ddae4b36d26c92765307bab1df33b3e8b15bddb999a1437",
        "b36709f6cdad9c6d6dc10a77166a0cf8a624b42df105442bb0c294560fd295b98e054f743686478709bff64211d71614cf30",
        "69d4005d222792aae96bb8a6ea7547759113657332e803a8e3fc6862f0da6dd589210ffb36edba1e9ada7b44200c111cbdc4",
        "db9a3046e90b508e2f6b573f3b18e2afaf262da277301582ea242db61baa206b08c82b623e925535f01c6c0a172c8b765edc",
        "1ba4ebd568302faf9c5243bdf90562297a6847a00a4de6c971070f123880fa3cad582272de3febae2716e26c558f16c6e38f",
        "6e694b16e1e1",
    )),
    p: &hex::<128>(concat!(
        "f4f86d8c438ff964c63766dc6bb25532da678db92367e8948f0a38aec9737d1c4ea7ba0d47b1af681c93f4092bbae51ced49",
        "81758e06ddb9ad773313e309cf04272271beea67dde918fb819c976f3e8db594653991412aeae9f52068388d404c8d194084",
        "0b4aba8d2f9e8da942ed9fc3819c1793bbd961de95f4511e35da47d7",
    )),
    q: &hex::<128>(concat!(
        "d16e39c179bea69cea1227a9625e41dd6e429036d902983e5ded26ad22000966ce2343b47bac649fe6df6f0e8a7b630110f1",
        "20d25279735f452f17c27ced9986b353f57c75390438efb574a1ef9b1e405a23262ad7e3f435680d1bf8ac40116aa9bda3e3",
        "82b63cce36d412e528330105c6dc5bf30de2193fa29cbe6140f8fdbd",
    )),
    dp: &hex::<128>(concat!(
        "c179338c041041b80594dbf85a568e538b8b1db38af3160dbeab23f967c17e9e4cc0cb80918f1429f5e82464d9d4d1fef6a9",
        "874580d68b678a490a5e3a8214ae02fa813b7786710d185e0b0fd1ca5a6d316bf246752232f335b413d43c55d2e2a2cdbed6",
        "8ad48a61d7aa31d7ecb41fea19035edb9f1120eadb240aad017b5421",
    )),
    dq: &hex::<128>(concat!(
        "669780636ea81e262fe3c4da0cfdef75f1555a20041e6945e3ed104d2fa2a4f85f7296f00ac56065944b4fb3e7d299a5240f",
        "7aec8cca41e22199f821a5e11e9c05acd34cac7fc9b9ba7341373290e238d3eef3fb78d68a02bf7dec7ddca365e4c251cbbe",
        "df8136382e53a50decab4f8cece5758592ff772edd11bb9118aae061",
    )),
    u: &hex::<128>(concat!(
        "64f4d9e48c5910d47c1f06b677bb5fafed5b0c55ee0085e85d39d093e09985943ec352aef2b2654fbca19b2451dcd458dae4",
        "f4f69928f630af67061af472b70d4bb35ee34126d4d04ecc00fe4a54a59ad87cdeb1b3c0d3460ffd7f0c8277a5b5c8c8986b",
        "cda940170b322cf5bb914f80155832a59ba9bb967842973a0ce70dbe",
    )),
    plain: &hex::<256>(concat!(
        "0093928d86c3e81dd47c16565e6de7a333dd70c9a4abc3d857ea69d45a924f77728f46476e8380b71d9622ccf6326ad4a1cc",
        "60f3107dd3e384b9d410806b42fe77846ce08ed74ddd390c2204042ddc32ac6db1a7044adcb28599b0bae064f0225998c6b7",
        "ef32d362b3325bd71bea85b897e4ef1b0b9441a6a4cf04a96e2bfbf03e84dbde1952044083334085669a9d863565a3131de9",
        "dfc682fbed76336cab9e0e131a76258bf460072f29e7b4a26cdcc223632f885150bb69f3c51f91018d4b84f69404791c159a",
        "c823ee998b3b7947592f6993280995a65fe366f8896fdf4bd71fa735d3c4ef693efc423165ce717566d57d6e57690213da27",
        "c953e0d7c402",
    )),
    cipher: &hex::<256>(concat!(
        "1236d9e6486359da33994e5dbd1418d9f80e2cdd79c63ee2c574cc401f003bd9883caba7e77a1d74052fc37d4b5e932f5eda",
        "796d6722d0eba6db254c69d23146af6db50c507dd4707a5100faa03d8766811b692f89a953f56a6072c74435c8f5c245d436",
        "1a9c5c2b8e03a19fc18ec658ed52384731900cbf37b2a6146a42d002fed2c5eb82e86ffcef6904ee062abd714c8159e64949",
        "fbaf91dd27438cf13ecf32f6a4f9bae2db20e33b2a11938c1ba7059fbdb39d726268843f194e8480b30249097d787a9fe247",
        "0719a6669c27153f8af60969a5e6cb087d6420ec5ca2319f7ef82e39bf4797d4f9fc4456088099758d4296a63fa6b643fd2f",
        "6f5d4add6b63",
    )),
};

pub(crate) static BITS_4096: Key = Key {
    modulus: &hex::<512>(concat!(
        "dddea32f41333fe83264e42ba2e137f04062022d3e8b8389480c58b75e78a060ed41375c5ef2604c170f23d2b48a1877c8fc",
        "782e9c5a15f3f8fd00db68d16c9657bbdbdf1c383ebccf19f319437707b5baead6d43edeb7f3b6d0255f2556f56e26c1add8",
        "bca9f7cd23221aaf2097eda52d734a31ce6254ce7a487831881c44c704e9f177531afc78efec342818de062a510862723d4e",
        "2311a7c20dbf831e8d321baa8652cc0b17a3c93792f55de669d4fc65789262d482fafbdd349407bde1164f05beb4eb058b0d",
        "154d5129efadd7b773014706bd3e06403ebf7759d9fd100e0a02a16cedeea52dc87ab6c7926efebdd84d0e810d2cc9a78586",
        "d5bb492bfa6ffe559d08f313f14fdb732e294ad133a40e8038116614d1b5756d6d0ecc0bee9d458da39f9ad23e197e40cf00",
        "eb0f0719b2dbfef79770c4314b0e2ecae118260d58071d5cd53a2b804e1f75cbc55156091654b9b3a33576920218d0507c25",
        "1f33eadcbc435f6cd7109a486090359a02393f500a08d04dd1f28ccfafe58a3da70957b5869a28d316349b578b7f99f5852b",
        "8fe3e652385cd7dc57cde598057a06d519bdee40a30441de6ff8bcee95d5810a795a04c0059c88aa03afaa80ffd5cb04f1dd",
        "3f7f41074b2ed9e021ee169c1ba7836172a91c398778f0f5b0005d7813a6d01bd80f69911c319db7078f4ff9bd567364d088",
        "1784462167e1da0f4ee1a717",
    )),
    private_exponent: &[],
    p: &hex::<256>(concat!(
        "f248253233d2db120eb121bec2d3665202ff5c49e35df47eeae7b6faa3b28185e8f8eefd52058aeb0dd217fa18fc57dd664b",
        "21422a3c71689b71bed27e6e9a15f013409cf4316bf318e45f38784f98f7226fdb531cf4eda572227ce0d186eab57c721787",
        "36bd79e90861ee10454b35f88b7c18fc088a554b34d5681339a65a6fe1912059c8a632c5b52835673b3c760ed4c7464245bf",
        "ec13f7d70e76bf93016dbba39095bc20962dbdf690c0962ee056efbca245525443539567b8aea6ab24094d026d6d0bb37c38",
        "1c8c100efc394da24d09a67138ad3c72ae7acd6cd59a619d5584ee74e17d39c42771b1387cac1e9e13de9d9ebe19d46f16d5",
        "b7e3ce8de677",
    )),
    q: &hex::<256>(concat!(
        "ea6e9eb04ddffe25bb6d51feb23581b0233c57848eb7cbc050c7fed713bd34093fb913f93396de1b121e6068b228def3736f",
        "077672cd72c4e0b1ac9fe7e88fee613702fd557175d695fdd991d20d5afaee4a8e89771480e0d63c0e0bf00a3f763f46f681",
        "65098d00910674db88e78b90ce250a69f5b85a158ac8eb51ed7b3c03a182fdf859496fd95597418ac5e360951432c8d5e550",
        "43e51c0d03dbf3334ccc24a763b1d24cfc1b04c84c7abe1697cf16b97bf83a90544802d074175367bd6ed94ef2d82f427439",
        "00c7d9971b5e28c9c4f736b7ae6224da64a08fe6f0d8f99edda16a5eddbc86dcd69e3803b7840a7f4ed14272ec2f1a824f93",
        "795ccd5e4c61",
    )),
    dp: &hex::<256>(concat!(
        "2fc926fcf5d7bab99f0834bda93384d4dc1e7d975d2ee4d03b88a4405f151012d75671dca8d6cb057d5e58b84d41481b34d7",
        "d0a17a2f1db72221971f712c635bbc542fc4452d923b0a47d0b81492ae7adfe1ec02428dd469734f760de98590b966e821d7",
        "db6617ab6ca9d4088582460cd5860e6f7747c176e9dec57e353aa84fb4cfa8efcc716b462f6ad4cd9d93593da79dfe2f880e",
        "4883cfb82cf422e8ddb944ef07cf60a194bd44e062c0795e9984cc180a715dc19cddd973f1ab10d8646d2931375ff094e005",
        "392c2ee6a5bcafa1394c93f574d6463be049fc466102e809de1a2fe601ab6f3f4f004f91f295081ce99258c83c7a5fb9e169",
        "19b1e6c57a15",
    )),
    dq: &hex::<256>(concat!(
        "b6cfa08bd78e8ebf99d2fc17e39c7a0f82cab16cbb66744afa339b74d8fdb8306632cb728f5a5cc53b71d8b88c05f7265da3",
        "fd6bcec68b731fcd2dd25ca42c6936021220bf9a84cbdb97632ca562a8c9f93cc6be47d003585177ef743bb1a21f71e4c2a1",
        "d0ca8bdc1f3babb0eea7b15c30850e03e70be5a3dae027317241a1612b77dcd8e7b7aeb30a5db34ca658539ead6b94d5c7c6",
        "b9cb55fe883de2fee42a6582eae9661786990337b6fc1873c1da49dc46e221b91f2030a1a185f71274d4963d4c7e6d0c2359",
        "b8542048079d7bad2c1da3dbc4eedfd2369a46dd4e7fc4d8aff809dd0488d99a28faa4afb1521465866f04a45dadb5bc5c95",
        "a2144e49f4c1",
    )),
    u: &hex::<256>(concat!(
        "0d10aa8fb3164bec44fa4903758e8670086935419490729c30a06a10cdb7441266b4bc53c85c8dc6629b33560404845b5dbf",
        "764b5f4def2f938cd178d3190812369e464c1e01ac334263b0e0a1c9667030e87f77c0fb0fd00f4fc8eb3369c11681561971",
        "91d731125c8cf632de9c2343805f3fc5c2ac77aaa7a219a3c84bf8d49cd7e32b17a929fd294b57c0df95e52a8bcfbcb2d8cb",
        "881b3362e59af02e0d5b9e65b6aaddb056a1265326d473b93ca3c20679dd3b9b70f0ce55a1300cacde30a93348257b682925",
        "c44b6836c9e3c40991eaef2d6ac854c0bdea779dcb60a29982a1549f87be654da54b7a9bc05a9bc9d8ab9708b054897379b8",
        "d61734720a2e",
    )),
    plain: &hex::<512>(concat!(
        "0022612ba591190618a68c33bcc7eec9c545e6d760db4b676668afd3ea21772422768f7c456a7cc3bf87ab8aaad3c4d1f44d",
        "58cada1daf06d3a7e418815f710f5a58c926fcac2e32255627d743de892da4deb530d8dbec0036e5b080f7c8fbb90cd87792",
        "b518b325f897de501e83943b96acd37deb8b653b9508e9c71a1725bf7599efc59ca3bcb92f5975320fbd773477a1e11e17c8",
        "c3693e4962f366411cd2f98dc89d6a78c3c00dd48f6ba5993d710289f7a1da72a810ef4b9ffe4eeb803f754d6d67bf8c0d79",
        "39d260001be3e284e34fbbbfb2d487550e41429b6f5caf7c871bb2abdc0c6c064aab76f190048df68e5a304b66d118b5cc40",
        "1e3f8d48a1aa4723dd941ddb32c66a0f2ee3702ad85a92e7d39f7408221bcc0e264a0d99b96f97f0c535fac30b09f569e051",
        "0e903fd163b139e1e4f8863b274d9b04a59c941eec78be084f6e4074d735363d56b5947e3754252240a4ae5046d7ef517313",
        "092773f2d048ee52a5f950a231a2756a74ee511c3f7663914ada4b9af196690d041379cd87478109858123ee6fca137f026e",
        "53935f56a13297069f71ea6232bc488fedc19b192d32f59994eb0dd0564e0fa13716aa5ccafebec8fcd7e8ee10e8606dac9c",
        "1475f6d0f7c65c983e39c8bf1f8b8cad280f29bcd3e8a61e3ec52bdca0a9e1571bf0bd8c575ce1cb721b9a2b1718f41ae500",
        "144bc34095a987b215269144",
    )),
    cipher: &hex::<512>(concat!(
        "7efd0131276dca3d00e36a6f836529a866bc1708c28afd7dde2552a2a4a3ab4bd2193a538e20bf7b5d22459d16671b8ddecc",
        "9df6bb3d7fea4b2e73f91c38de04c66c7e8915092101c9504212ece1855929517b1f6b98d3985c797038e56e45c633f609fb",
        "ceafcfa41958006c270ff8bf11a3f56ed3003a8d58c01d5bcb6511c3c5e270fb23472a9b8e47081d14869e4b4e47c63ecc7a",
        "4b388d0fd216fa9f5af680a69b010e05f503b861f6905f5e2fdf6c68a8a68e3e02f9805e738768c351917436875f5e606c09",
        "b290cb374e30ceff4068d6ad5afd452dd8db83bd22bda2881fdd14070ff4b6d18b91316dbbaf7cf1a8828e24c5a9887df842",
        "afb3d02ddafecc404d4bd0103b6c4f10c09fc53c20a8699e4cde9492d381eb64aa9380b689ebe7fa504d3b68bcf33f2ae740",
        "fbab7eae291163a197e4d698942d33d33b022ae34820868e3009c81330c4978535b6fb7c4058f1faaaef46cafe1231ddfd0f",
        "f697b0f467eb2f301150772202e5e8b457b9c295520aaed69a8314ec8eb2625530519490a2ae9a1ac7f5682c90fbe433d4bd",
        "acc1555e91f4e101a5a0d2868f14692aa0fc9c023abb91d13a2a2441a6b76e89d932fe57af48a1bbcbe6093cf97bd8df7417",
        "65bfafa54fcdde7d2de487883da9e70ae2d2640927d0014eeac9ff5fe01663f85d4282cd54b61d9a4655ca50c4f1e0fec95a",
        "f6edc31b6ed9d7a69645c4cc",
    )),
};

/// Bytes from their hex digits, at compile time.
const fn hex<const N: usize>(digits: &str) -> [u8; N] {
    const fn value(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        }
    }
    let digits = digits.as_bytes();
    assert!(digits.len() == 2 * N);
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = value(digits[2 * i]) << 4 | value(digits[2 * i + 1]);
        i += 1;
    }
    bytes
}
