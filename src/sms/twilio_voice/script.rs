//! What a call says, in each language that Twilio can say it in.
//!
//! Owns the words and voices. The code is said digit by digit with a pause before each, and all of it twice: who picks up
//! late or has to look for a pen hears it again.

use super::twiml::Node;

/// One language.
struct Script {
    /// The locale's first subtag.
    language: &'static str,
    /// As Twilio calls the language and a voice that speaks it.
    say: [(&'static str, &'static str); 2],
    /// Before the code; `{app}` is the service's name.
    first: &'static str,
    /// Before the code the second time.
    again: &'static str,
    /// At the end.
    last: &'static str,
}

/// English first: it stands for every language that is not here. Persian and Swahili are not, because neither Amazon nor
/// Google has a voice at Twilio that speaks them.
const SCRIPTS: [Script; 10] = [
    Script {
        language: "en",
        say: [("language", "en-US"), ("voice", "Polly.Joanna")],
        first: "Hello. Your {app} code is:",
        again: "Once more, your code is:",
        last: "Goodbye.",
    },
    Script {
        language: "es",
        say: [("language", "es-ES"), ("voice", "Polly.Lucia")],
        first: "Hola. Su código de {app} es:",
        again: "Repito, su código es:",
        last: "Adiós.",
    },
    Script {
        language: "fr",
        say: [("language", "fr-FR"), ("voice", "Polly.Celine")],
        first: "Bonjour. Votre code {app} est :",
        again: "Je répète, votre code est :",
        last: "Au revoir.",
    },
    Script {
        language: "de",
        say: [("language", "de-DE"), ("voice", "Polly.Vicki")],
        first: "Guten Tag. Ihr Code für {app} lautet:",
        again: "Noch einmal, Ihr Code lautet:",
        last: "Auf Wiederhören.",
    },
    Script {
        language: "pt",
        say: [("language", "pt-BR"), ("voice", "Polly.Vitoria")],
        first: "Olá. O seu código do {app} é:",
        again: "Repetindo, o seu código é:",
        last: "Até logo.",
    },
    Script {
        language: "ru",
        say: [("language", "ru-RU"), ("voice", "Polly.Tatyana")],
        first: "Здравствуйте. Ваш код {app}:",
        again: "Повторяю, ваш код:",
        last: "До свидания.",
    },
    Script {
        language: "tr",
        say: [("language", "tr-TR"), ("voice", "Polly.Filiz")],
        first: "Merhaba. {app} kodunuz:",
        again: "Tekrar ediyorum, kodunuz:",
        last: "Hoşça kalın.",
    },
    Script {
        language: "ar",
        say: [("language", "arb"), ("voice", "Polly.Zeina")],
        first: "مرحبا. رمز {app} الخاص بك هو:",
        again: "مرة أخرى، رمزك هو:",
        last: "مع السلامة.",
    },
    Script {
        language: "hi",
        say: [("language", "hi-IN"), ("voice", "Polly.Aditi")],
        first: "नमस्ते। आपका {app} कोड है:",
        again: "एक बार फिर, आपका कोड है:",
        last: "धन्यवाद।",
    },
    Script {
        language: "id",
        say: [("language", "id-ID"), ("voice", "Google.id-ID-Standard-A")],
        first: "Halo. Kode {app} Anda adalah:",
        again: "Sekali lagi, kode Anda adalah:",
        last: "Sampai jumpa.",
    },
];

/// Before each digit: long enough to write one down.
const PAUSE: (&str, &str) = ("time", "700ms");

/// The whole call in TwiML, at most 4,000 characters as Twilio takes it (a test holds the longest against it).
pub(super) fn twiml(locale: &str, app: &str, code: &str) -> String {
    let language = locale.split(['-', '_']).next().unwrap_or_default();
    let [english, ..] = &SCRIPTS;
    let script = SCRIPTS.iter().find(|script| script.language.eq_ignore_ascii_case(language)).unwrap_or(english);
    let spoken = [
        say(script, &script.first.replace("{app}", app), code),
        Node::element("Pause", [("length", "1")], []),
        say(script, script.again, code),
        say(script, script.last, ""),
    ];
    let response = Node::element("Response", [], spoken);
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{response}")
}

/// One sentence, and after it the digits.
fn say(script: &Script, words: &str, digits: &str) -> Node {
    let digits = digits.chars().flat_map(|digit| [Node::element("break", [PAUSE], []), Node::Text(digit.to_string())]);
    Node::element("Say", script.say, std::iter::once(Node::Text(words.to_owned())).chain(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_says_each_digit_twice() {
        let pause = "<break time=\"700ms\"/>";
        let digits = format!("{pause}0{pause}0{pause}4{pause}2");
        let say = "<Say language=\"en-US\" voice=\"Polly.Joanna\">";
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{say}Hello. Your A&amp;B code is:{digits}</Say>\
             <Pause length=\"1\"/>{say}Once more, your code is:{digits}</Say>{say}Goodbye.</Say></Response>"
        );
        assert_eq!(twiml("en", "A&B", "0042"), expected);
    }

    #[test]
    fn the_language_is_the_messages_or_english() {
        for (locale, language) in [
            ("de", "de-DE"),
            ("pt-br", "pt-BR"),
            ("ES_mx", "es-ES"),
            ("ar-eg", "arb"),
            ("fa", "en-US"),
            ("sw-ke", "en-US"),
            ("", "en-US"),
            ("id", "id-ID"),
        ] {
            assert!(twiml(locale, "Acme", "1").contains(&format!("language=\"{language}\"")), "{locale}");
        }
    }

    /// Twilio takes 4,000 characters of TwiML, and a number in the words would be heard as a part of the code.
    #[test]
    fn every_script_fits_and_has_no_digits_of_its_own() {
        for script in SCRIPTS {
            let longest = twiml(script.language, &"&".repeat(64), "0123456789");
            assert!(longest.chars().count() <= 4_000, "{}", script.language);
            assert_eq!(script.first.matches("{app}").count(), 1, "{}", script.language);
            let words = format!("{}{}{}", script.first, script.again, script.last);
            assert!(!words.chars().any(char::is_numeric), "{words}");
        }
    }
}
