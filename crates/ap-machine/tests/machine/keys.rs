// SPDX-License-Identifier: MIT OR Apache-2.0
//! Primes of RSA keys with 512, 1024, 2048 and 4096 bits, exponent 65537. The 1024-bit key is key 1 of RSA
//! Laboratories' test vectors for RSA-OAEP; the others were made with OpenSSL for this test.

/// Modulus bits, p and q in hex.
pub(crate) const PRIMES: [(usize, &str, &str); 4] = [
    (
        512,
        "e5b9675df614e421ac7b0695a90556b902f169cf5071dde23b4473bed7e86093",
        "dc81202051d52906d74c35dec4645f075e3ff40ed3f00ba8bb47886473432601",
    ),
    (
        1024,
        "d32737e7267ffe1341b2d5c0d150a81b586fb3132bed2f8d5262864a9cb9f30af38be448598d413a172efb802c21acf1c11c\
         520c2f26a471dcad212eac7ca39d",
        "cc8853d1d54da630fac004f471f281c7b8982d8224a490edbeb33d3e3d5cc93c4765703d1dd791642f1f116a0dd852be2419\
         b2af72bfe9a030e860b0288b5d77",
    ),
    (
        2048,
        "f45e9458860819b0ee6b68cdd76a98a42e379eb50a05a08cfae64ca928c131c54ec3fe8d3e813a6aeaf9fdcf37b8fe237c01\
         305091515afa949b81488ad6feef2cc654e5ceae8ee082e3e13eb00b26884ec1bafe2f957bb77680d40090de2a5af988515d\
         bef46f018e42dd3c3f141069ffeb4376901f0efb69f4a5ffad8c7585",
        "cc6963103dd11978dd90525d1b8f10a2cf40e428dd028f94c2961525824559f495f791f9dc7cff467545f68030c659154a5b\
         01d22b1673a23fdcd60569a651e589051adc960024a4ccfce9653518b1594c3fb2278f8069b417525a8b06ddc0ca95b9da82\
         5d4754d4b418b847bfdcb6762b434dae008621613822f7af2cc18f37",
    ),
    (
        4096,
        "bba12090c20b46f31c5f5edb13a40267c0f48f09c7a24497dbead95f7c257d521d2c44f5aac958c7d7fd72925e33dfdce288\
         8eef635434ea1b5fcca934fe093de22c15e88bf77a82445ccf39109851dd81b2b7f79fa63422c1923160e294d665fd386901\
         2169faf6db0dad22770f95f59ee14264de5d7347ec80ce8b8697521ee77b466d2eea8bd8c9c2a6bfe698e331a5d3b04ac555\
         b4f80bd685f8cfa4f268a394860453aa355d405f01a3b680608fcb5978ea2f487debc865a2cf756c3d15f5da853cb0d6f136\
         f2c6480428e432c15660155eb1bc6e13f16976295d3567df19a1a13d74a01c98028d03a3b9f49338543d45dc0f17cb6e8da1\
         968088d1090b",
        "b52ec3d561c6fa774909038325fd7f237048ed768b77b3f33640ffd4c97e30775340dca6e4596c06f88ffbdd37a0422d8e47\
         4a03e641774ab0d20ff722f051937c5497361d6d0a4aac565eaa8e27c03b6839f8ec9f414fb0051b5a7e4ba9e4491b3ca7fb\
         06d8b29a2e0dba7927583dfc11dd94f6a3b310e9e42287604fa51e6fd9f3e3b53b77c3d13a8c51fa74babe35a495b9193ea3\
         0978165c86d9c4c67f9707d19edadf6b36081a931e1c99bd2ec8a9935b6d0266419a0720fe67f11e78e7d4a5b25b88205dba\
         7d3e03d69de20e8061a40bc3bfafb126aa097fa92a507a66ba410195532f2434bf14c93d8d5ebb024e9dfcee5b4d76fb7bee\
         6986a18ae04b",
    ),
];

/// Ciphertext of example 1.1 of the same vectors.
pub(crate) const OAEP_1_1_CIPHERTEXT: &str = "\
         354fe67b4a126d5d35fe36c777791a3f7ba13def484e2d3908aff722fad468fb21696de95d0be911c2d3174f8afcc201035f\
         7b6d8e69402de5451618c21a535fa9d7bfc5b8dd9fc243f8cf927db31322d6e881eaa91a996170e657a05a266426d98c8800\
         3f8477c1227094a0d9fa1e8c4024309ce1ecccb5210035d47ac72e8a";

/// What the ciphertext decrypts to, before the padding is taken off: `pow(c, d, n)` of python3, from which OAEP
/// decoding gave the published seed and message.
pub(crate) const OAEP_1_1_ENCODED: &str = "\
         001016e93a98ac3af3a8c48fc01e87bd7000db8bdf691f90e4dbabb03f76003765f55b7ed7a202635ea92feda9465ec40f3e\
         0f64b8b0e444956245c5d5d068cb0b1deca88b2f99ae0df4e80f017c595cdba4c92f2f46f25bdbf352beb93766d24554106f\
         42d9326d59339ca24f392e738c703dc876e402ee16542095b77a6994";
