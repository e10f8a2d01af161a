//! Challenge and response with a shared secret (spec 50 section 4.2). Pure: bytes in, bytes out.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::event::Event;

/// Bytes of a challenge that we send, and the least that we accept.
pub const CHALLENGE: usize = 64;
/// The most that we accept.
pub const CHALLENGE_MAX: usize = 128;

/// shared-secret: wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The secret as it stands in the configuration, without NUL.
    pub fn new(secret: &[u8]) -> Self {
        Self(Zeroizing::new(secret.to_vec()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

macro_rules! algorithms {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $digest:ty;)*) => {
        /// cram-hmac-alg: what makes a keyed digest.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum HmacAlg { $($(#[$doc])* $name,)* }

        impl HmacAlg {
            /// The algorithm with this name in the configuration.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }

            /// Bytes of its digests.
            pub fn digest_size(self) -> usize {
                match self {
                    $(Self::$name => <$digest as sha1::Digest>::output_size(),)*
                }
            }

            /// The keyed digest of a message.
            fn keyed_digest(self, secret: &Secret, message: &[u8]) -> Vec<u8> {
                match self { $(Self::$name => keyed_digest::<Hmac<$digest>>(secret, message),)* }
            }
        }
    };
}

algorithms! {
    /// 16 bytes.
    Md5 = "md5", Md5;
    /// 20 bytes.
    Sha1 = "sha1", Sha1;
    /// 28 bytes.
    Sha224 = "sha224", Sha224;
    /// 32 bytes.
    Sha256 = "sha256", Sha256;
    /// 48 bytes.
    Sha384 = "sha384", Sha384;
    /// 64 bytes.
    Sha512 = "sha512", Sha512;
}

fn keyed_digest<M: Mac + KeyInit>(secret: &Secret, message: &[u8]) -> Vec<u8> {
    let mut mac = M::new_from_slice(&secret.0).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// How peers prove themselves to each other.
#[derive(Clone, Debug)]
pub struct Auth {
    /// cram-hmac-alg.
    pub alg: HmacAlg,
    /// shared-secret.
    pub secret: Secret,
}

impl Auth {
    /// Our response to the peer's challenge, or why the peer is not trusted.
    pub fn respond(&self, own: &[u8; CHALLENGE], peer: &[u8]) -> Result<Vec<u8>, Event> {
        let Some(beginning) = peer.get(..CHALLENGE) else {
            return Err(Event::ChallengeTooSmall);
        };
        if peer.len() > CHALLENGE_MAX {
            return Err(Event::ChallengeTooBig);
        }
        if beginning == own {
            return Err(Event::SameChallenge);
        }
        Ok(self.alg.keyed_digest(&self.secret, peer))
    }

    /// Whether the response to our challenge shows that the peer knows the secret.
    pub fn proves(&self, own: &[u8; CHALLENGE], response: &[u8]) -> bool {
        let expected = self.alg.keyed_digest(&self.secret, own);
        expected.ct_eq(response).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(name: &str, secret: &str) -> Auth {
        Auth {
            alg: HmacAlg::from_name(name).unwrap(),
            secret: Secret::new(secret.as_bytes()),
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Spec 50 section 16.4: what two kernels sent each other.
    #[test]
    fn captured_responses_answer_the_captured_challenges() {
        let r0: [u8; CHALLENGE] = bytes(
            "3a7959e2849f29e044e26fc70f45b1cfd40ac1830c6d6b7d1c1869a4f5e575c0
             08105b6937ac59c826e097cff8d5b488cd7a3516c35291e13980a0851f023528",
        )
        .try_into()
        .unwrap();
        let r1 = bytes(
            "2daf8d042ba99cd6d0db5a30517d5cdbc208ef5480b682e3ffdb9e6bda486b6e
             ed69733a7cc971502d60bf18480ddabbaafc84cf38ae6b9f56cda582e2568f9a",
        );
        let auth = auth("sha1", "FooFunFactory");
        assert_eq!(
            auth.respond(&r0, &r1).unwrap(),
            bytes("4b61cf1a88437400ea1a3b3604c4c14d1bd4e46c")
        );
        let response = bytes("fd770cf4c0b0a53da0af49f34f221f2dc1e1ff73");
        assert!(auth.proves(&r0, &response));
        assert!(!auth.proves(&r0, &response[..19]));
        assert!(!super::tests::auth("sha1", "FooFunFactorx").proves(&r0, &response));
    }

    /// RFC 2202 and RFC 4231, test case 2.
    #[test]
    fn every_algorithm_gives_the_digests_of_its_standard() {
        for (name, expected) in [
            ("md5", "750c783e6ab0b503eaa86e310a5db738"),
            ("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                "sha224",
                "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
            ),
            (
                "sha256",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
        ] {
            let alg = HmacAlg::from_name(name).unwrap();
            let digest = alg.keyed_digest(&Secret::new(b"Jefe"), b"what do ya want for nothing?");
            assert_eq!(digest, bytes(expected), "{name}");
            assert_eq!(digest.len(), alg.digest_size());
        }
        assert_eq!(HmacAlg::from_name("crc32c"), None);
    }

    #[test]
    fn challenges_of_the_wrong_size_and_played_back_ones_are_refused() {
        let auth = auth("md5", "x");
        let own = [7; CHALLENGE];
        assert_eq!(auth.respond(&own, &[1; 63]), Err(Event::ChallengeTooSmall));
        assert_eq!(auth.respond(&own, &[1; 129]), Err(Event::ChallengeTooBig));
        assert_eq!(auth.respond(&own, &[7; 64]), Err(Event::SameChallenge));
        assert_eq!(auth.respond(&own, &[7; 100]), Err(Event::SameChallenge));
        assert_eq!(auth.respond(&own, &[1; 128]).unwrap().len(), 16);
    }

    #[test]
    fn the_secret_is_not_printed() {
        let text = format!("{:?}", auth("sha1", "FooFunFactory"));
        assert!(!text.contains("Foo"), "{text}");
    }
}
