"""Phrases that recognizers write where nobody speaks: what subtitles say about themselves.

Short lists of our own, in words without case and marks. `*` at the end stands for up to four more
words (a name). `ALONE` holds what people say all the time: it counts only as the whole of a text.
A new language is one more entry; keep it short, for each phrase may be said in earnest.
"""

ANYWHERE: dict[str, tuple[str, ...]] = {
    "ar": ("شكرا على المشاهدة", "اشتركوا في القناة", "لا تنسوا الاشتراك في القناة", "ترجمة *"),
    "de": (
        "danke fürs zuschauen",
        "vielen dank fürs zuschauen",
        "danke für die aufmerksamkeit",
        "vielen dank für die aufmerksamkeit",
        "untertitel von *",
        "untertitelung im auftrag *",
        "bis zum nächsten mal",
        "abonniert meinen kanal",
    ),
    "en": (
        "thanks for watching",
        "thank you for watching",
        "thank you so much for watching",
        "please like and subscribe",
        "please subscribe to my channel",
        "don't forget to subscribe",
        "see you in the next video",
        "see you next time",
        "subtitles by *",
        "captions by *",
        "transcribed by *",
        "translated by *",
    ),
    "es": (
        "gracias por ver el video",
        "gracias por ver el vídeo",
        "muchas gracias por ver",
        "suscríbete al canal",
        "no olvides suscribirte",
        "nos vemos en el próximo video",
        "subtítulos por *",
        "subtítulos realizados por *",
    ),
    "fr": (
        "merci d'avoir regardé",
        "merci d'avoir regardé cette vidéo",
        "abonnez vous à la chaîne",
        "n'oubliez pas de vous abonner",
        "à la prochaine vidéo",
        "sous titres par *",
        "sous titrage *",
    ),
    "it": (
        "grazie per la visione",
        "grazie per aver guardato",
        "grazie per aver guardato il video",
        "iscrivetevi al canale",
        "alla prossima puntata",
        "sottotitoli di *",
        "sottotitoli a cura di *",
    ),
    "ja": ("ご視聴ありがとうございました", "チャンネル登録をお願いします", "また次の動画で"),
    "ko": ("시청해 주셔서 감사합니다", "구독과 좋아요 부탁드립니다", "다음 영상에서 만나요"),
    "nl": (
        "bedankt voor het kijken",
        "dank je voor het kijken",
        "abonneer je op het kanaal",
        "tot de volgende keer",
        "ondertiteling door *",
        "ondertiteld door *",
    ),
    "pl": ("dziękuję za oglądanie", "dzięki za oglądanie", "do zobaczenia", "napisy stworzone *"),
    "pt": (
        "obrigado por assistir",
        "obrigada por assistir",
        "inscreva se no canal",
        "até o próximo vídeo",
        "legendas por *",
        "legendado por *",
    ),
    "ru": (
        "спасибо за просмотр",
        "подписывайтесь на канал",
        "ставьте лайки",
        "до новых встреч",
        "продолжение следует",
        "субтитры сделал *",
        "редактор субтитров *",
    ),
    "tr": ("izlediğiniz için teşekkürler", "abone olmayı unutmayın", "altyazı *"),  # noqa: RUF001
    "zh": ("感谢观看", "谢谢观看", "请订阅我的频道", "下期再见", "字幕由 *"),
}

ALONE: dict[str, tuple[str, ...]] = {
    "de": ("danke", "vielen dank", "tschüss"),
    "en": ("you", "thank you", "thanks", "bye", "bye bye", "okay", "so"),
    "es": ("gracias", "muchas gracias", "adiós"),
    "fr": ("merci", "merci beaucoup", "au revoir"),
    "it": ("grazie", "grazie mille", "ciao"),
    "nl": ("dank je", "dank u wel"),
    "pt": ("obrigado", "obrigada", "tchau"),
    "ru": ("спасибо", "пока"),
    "zh": ("谢谢", "再见"),
}
