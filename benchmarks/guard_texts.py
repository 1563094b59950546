"""Sentences of our own for the guard's labelled set, in six languages.

`invented` is what a recognizer might write on silence: by intent only about half of it is in the
filter's own list of phrases, for no list is complete.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Texts:
    """What is said, and what is made up, in one language."""

    voice: str
    sentences: tuple[str, ...]
    words: tuple[str, ...]  # said many times in a row
    refrains: tuple[str, ...]
    numbers: tuple[str, ...]  # the words for 0 to 9
    invented: tuple[str, ...]


TEXTS: dict[str, Texts] = {
    "en": Texts(
        voice="en-us",
        sentences=(
            "The ferry leaves at seven, and the last bus follows an hour later.",
            "My neighbour grows tomatoes on the roof of the garage.",
            "We opened the window because the kitchen was full of smoke.",
            "Nobody had told the new conductor that the concert was cancelled.",
            "It rained all morning, but the football match went on.",
            "She keeps every letter that her grandmother ever wrote.",
            "If the bridge is closed, take the road along the river.",
            "The museum shows old maps of towns that no longer exist.",
            "He bought a second-hand bicycle and repaired it himself.",
            "Please turn off the heating before you leave the office.",
        ),
        words=("no", "very", "go", "wait", "yes", "ha"),
        refrains=("row the boat home", "left, right", "come back to me, my love", "one more time"),
        numbers=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        invented=(
            "Thank you for watching.",
            "Thanks for watching, see you next time!",
            "Please subscribe to my channel.",
            "Subtitles by Anna Miller",
            "We will be right back after this.",
            "Have a wonderful evening, everybody.",
        ),
    ),
    "de": Texts(
        voice="de",
        sentences=(
            "Die Fähre fährt um sieben, und der letzte Bus folgt eine Stunde später.",
            "Mein Nachbar zieht auf dem Dach der Garage Tomaten.",
            "Wir haben das Fenster geöffnet, weil die Küche voller Rauch war.",
            "Niemand hatte dem neuen Dirigenten gesagt, dass das Konzert ausfällt.",
            "Es hat den ganzen Morgen geregnet, aber das Spiel ging weiter.",
            "Sie bewahrt jeden Brief auf, den ihre Großmutter je geschrieben hat.",
            "Wenn die Brücke gesperrt ist, nimm die Straße am Fluss entlang.",
            "Das Museum zeigt alte Karten von Städten, die es nicht mehr gibt.",
            "Er hat ein gebrauchtes Fahrrad gekauft und selbst repariert.",
            "Bitte stellen Sie die Heizung ab, bevor Sie gehen.",
        ),
        words=("nein", "sehr", "los", "warte", "ja", "ha"),
        refrains=("wir gehen nach Haus", "links, rechts", "komm zurück zu mir", "noch einmal"),
        numbers=("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
        invented=(
            "Vielen Dank fürs Zuschauen.",
            "Danke für die Aufmerksamkeit, bis zum nächsten Mal!",
            "Abonniert meinen Kanal.",
            "Untertitel von Karin Weber",
            "Gleich geht es hier weiter.",
            "Wir wünschen allen einen schönen Abend.",
        ),
    ),
    "fr": Texts(
        voice="fr",
        sentences=(
            "Le bateau part à sept heures et le dernier bus suit une heure plus tard.",
            "Mon voisin fait pousser des tomates sur le toit du garage.",
            "Nous avons ouvert la fenêtre parce que la cuisine était pleine de fumée.",
            "Personne n'avait dit au nouveau chef que le concert était annulé.",
            "Il a plu toute la matinée, mais le match a continué.",
            "Elle garde toutes les lettres que sa grand-mère a écrites.",
            "Si le pont est fermé, prends la route le long de la rivière.",
            "Le musée montre de vieilles cartes de villes disparues.",
            "Il a acheté un vélo d'occasion et l'a réparé lui-même.",
            "Veuillez éteindre le chauffage avant de partir.",
        ),
        words=("non", "très", "allez", "attends", "oui", "ha"),
        refrains=("on rentre à la maison", "gauche, droite", "reviens vers moi", "encore une fois"),
        numbers=("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
        invented=(
            "Merci d'avoir regardé cette vidéo.",
            "N'oubliez pas de vous abonner à la chaîne.",
            "Sous-titres par Claire Dubois",
            "À la prochaine vidéo !",
            "Nous revenons dans un instant.",
            "Bonne soirée à toutes et à tous.",
        ),
    ),
    "es": Texts(
        voice="es",
        sentences=(
            "El barco sale a las siete y el último autobús sale una hora después.",
            "Mi vecino cultiva tomates en el techo del garaje.",
            "Abrimos la ventana porque la cocina estaba llena de humo.",
            "Nadie le había dicho al nuevo director que el concierto se cancelaba.",
            "Llovió toda la mañana, pero el partido siguió.",
            "Ella guarda todas las cartas que escribió su abuela.",
            "Si el puente está cerrado, toma el camino junto al río.",
            "El museo muestra mapas antiguos de pueblos que ya no existen.",
            "Compró una bicicleta usada y la arregló él mismo.",
            "Por favor, apague la calefacción antes de salir.",
        ),
        words=("no", "muy", "vamos", "espera", "sí", "ja"),
        refrains=("volvemos a casa", "izquierda, derecha", "vuelve a mi lado", "una vez más"),
        numbers=("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
        invented=(
            "Gracias por ver el vídeo.",
            "Suscríbete al canal.",
            "Subtítulos realizados por Marta Ruiz",
            "Nos vemos en el próximo video.",
            "Volvemos en un momento.",
            "Que tengan todos una buena noche.",
        ),
    ),
    "it": Texts(
        voice="it",
        sentences=(
            "Il traghetto parte alle sette e l'ultimo autobus un'ora dopo.",
            "Il mio vicino coltiva pomodori sul tetto del garage.",
            "Abbiamo aperto la finestra perché la cucina era piena di fumo.",
            "Nessuno aveva detto al nuovo direttore che il concerto era annullato.",
            "Ha piovuto tutta la mattina, ma la partita è continuata.",
            "Lei conserva tutte le lettere che ha scritto sua nonna.",
            "Se il ponte è chiuso, prendi la strada lungo il fiume.",
            "Il museo mostra vecchie mappe di città che non esistono più.",
            "Ha comprato una bicicletta usata e l'ha riparata da solo.",
            "Per favore, spegnete il riscaldamento prima di uscire.",
        ),
        words=("no", "molto", "vai", "aspetta", "sì", "ah"),
        refrains=("torniamo a casa", "sinistra, destra", "ritorna da me", "ancora una volta"),
        numbers=("zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"),
        invented=(
            "Grazie per la visione.",
            "Iscrivetevi al canale.",
            "Sottotitoli a cura di Paolo Conti",
            "Grazie per aver guardato il video.",
            "Torniamo tra un momento.",
            "Una buona serata a tutti quanti.",
        ),
    ),
    "ru": Texts(
        voice="ru",
        sentences=(
            "Паром уходит в семь, последний автобус идёт часом позже.",
            "Мой сосед выращивает помидоры на крыше гаража.",
            "Мы открыли окно, потому что кухня была полна дыма.",
            "Никто не сказал новому дирижёру, что концерт отменили.",
            "Всё утро шёл дождь, но матч продолжался.",
            "Она хранит все письма, которые написала её бабушка.",
            "Если мост закрыт, поезжай по дороге вдоль реки.",
            "Музей показывает старые карты городов, которых больше нет.",
            "Он купил старый велосипед и сам его починил.",  # noqa: RUF001
            "Пожалуйста, выключите отопление перед уходом.",
        ),
        words=("нет", "очень", "давай", "подожди", "да", "ха"),  # noqa: RUF001
        refrains=("мы идём домой", "левой, правой", "вернись ко мне", "ещё один раз"),
        numbers=(
            "ноль",
            "один",
            "два",
            "три",
            "четыре",
            "пять",
            "шесть",
            "семь",
            "восемь",
            "девять",
        ),
        invented=(
            "Спасибо за просмотр.",
            "Подписывайтесь на канал.",
            "Субтитры сделал Иван Петров",
            "Продолжение следует.",
            "Мы скоро вернёмся.",
            "Всем хорошего вечера.",
        ),
    ),
}
