//! The texts that are there without any setting: one row per language.
//!
//! Each is one part under a name of usual length; a code's is so with both lines for phones, which is also what Android
//! reads. A text whose letters are all in GSM-7 has room for 160, every other is UCS-2 and has room for 70. So some
//! words are chosen for their letters: Spanish says *clave*, because *código* would be UCS-2, and Turkish tells its code
//! without ç, ğ, ı and ş. No marks of direction: digits are read from left to right in every script.

/// The texts of one language.
#[derive(Debug)]
pub(super) struct BuiltIn {
    /// BCP 47, in lower case.
    pub(super) locale: &'static str,
    /// Of a code. It comes in the first sentence and is the only number of three or more digits, because phones look
    /// for it there.
    pub(super) code: &'static str,
    /// For the old number of an account that moved to another.
    pub(super) phone_changed: &'static str,
}

pub(super) const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        locale: "en",
        code: "{code} is your {app} code. It is valid for {minutes} min.",
        phone_changed: "Your {app} account was moved to another phone number. If this was not you, contact support.",
    },
    // Persian, right to left.
    BuiltIn {
        locale: "fa",
        code: "کد تایید {app}: {code}\nاعتبار {minutes} دقیقه",
        phone_changed: "حساب {app} به شماره دیگری منتقل شد. کار شما نبود؟ به پشتیبانی بگویید.",
    },
    // Hindi.
    BuiltIn {
        locale: "hi",
        code: "{app} कोड: {code}\n{minutes} मिनट तक मान्य",
        phone_changed: "{app} खाते का नंबर बदल गया। आपने नहीं बदला? सहायता से बात करें।",
    },
    // Swahili.
    BuiltIn {
        locale: "sw",
        code: "{code} ni msimbo wako wa {app}. Utatumika kwa dakika {minutes}.",
        phone_changed: "Akaunti yako ya {app} imehamishiwa nambari nyingine ya simu. Kama si wewe, wasiliana na usaidizi.",
    },
    // Arabic, right to left. The minutes are abbreviated: the word itself changes with their number.
    BuiltIn {
        locale: "ar",
        code: "رمز تحقق {app}: {code}\nصالح لمدة {minutes} د",
        phone_changed: "نُقل حسابك في {app} إلى رقم آخر. لم تفعل ذلك؟ تواصل مع الدعم.",
    },
    BuiltIn {
        locale: "es",
        code: "{code} es tu clave de {app}. Vence en {minutes} min.",
        phone_changed: "Tu cuenta de {app} se ha pasado a otro teléfono. Si no lo pediste, contacta con soporte.",
    },
    BuiltIn {
        locale: "fr",
        code: "{code} est votre code {app}. Il est valable {minutes} min.",
        phone_changed: "Votre compte {app} est passé à un autre numéro. Si ce n'était pas vous, contactez le support.",
    },
    BuiltIn {
        locale: "de",
        code: "{code} ist Ihr Code für {app}. Er gilt {minutes} Min.",
        phone_changed: "Ihr Konto bei {app} hat jetzt eine andere Telefonnummer. Waren Sie das nicht? Wenden Sie sich an den Support.",
    },
    // Portuguese, in words that serve Brazil and Portugal.
    BuiltIn {
        locale: "pt",
        code: "Código {app}: {code}\nVálido por {minutes} min",
        phone_changed: "Sua conta {app} agora usa outro telefone. Se outra pessoa fez isso, fale com o suporte.",
    },
    // Turkish.
    BuiltIn {
        locale: "tr",
        code: "{app} kodunuz: {code}. Kodun süresi {minutes} dakika sonra dolar.",
        phone_changed: "{app} hesabınız başka numaraya geçti. Siz değilseniz desteğe yazın.",
    },
    // Indonesian.
    BuiltIn {
        locale: "id",
        code: "{code} adalah kode {app} Anda. Berlaku {minutes} menit.",
        phone_changed: "Akun {app} Anda dipindahkan ke nomor telepon lain. Jika bukan Anda, hubungi dukungan.",
    },
    BuiltIn {
        locale: "ru",
        code: "Код {app}: {code}\nДействует {minutes} мин.",
        phone_changed: "Аккаунт {app} теперь на другом номере. Это не вы? Пишите в поддержку.",
    },
];
