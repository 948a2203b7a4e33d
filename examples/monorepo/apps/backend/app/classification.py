# SPDX-License-Identifier: GPL-3.0-or-later
"""Which aisle an item belongs to, worked out from the words of its name."""

from __future__ import annotations

import re
import unicodedata

OTHER = "other"

KEYWORDS: dict[str, str] = {
    "produce": """
        apple, apricot, artichoke, arugula, asparagus, aubergine, avocado, banana, basil, bean
        sprout, beetroot, berry, blackberry, blueberry, broccoli, brussels sprout, cabbage,
        carrot, cauliflower, celery, cherry, chilli, chive, clementine, coriander, courgette,
        cucumber, dill, eggplant, fennel, fig, fruit, garlic, ginger, grape, grapefruit, herb,
        jalapeno, kale, kiwi, leek, lemon, lettuce, lime, mango, melon, mint, mushroom,
        nectarine, onion, orange, papaya, parsley, parsnip, peach, pear, pepper, pineapple,
        plum, pomegranate, potato, pumpkin, radish, raspberry, rocket, rosemary, salad, scallion,
        shallot, spinach, spring onion, squash, strawberry, sweet potato, sweetcorn, thyme,
        tomato, turnip, vegetable, watercress, watermelon, zucchini
    """,
    "bakery": """
        apple pie, bagel, baguette, bread, brioche, brownie, bun, cake, ciabatta, croissant,
        crumpet, doughnut, flatbread, focaccia, loaf, muffin, naan, pastry, pie, pita, roll,
        scone, sourdough, toast, tortilla, wrap
    """,
    "dairy": """
        brie, butter, buttermilk, camembert, cheddar, cheese, cottage cheese, cream, creme
        fraiche, custard, egg, feta, gouda, gruyere, halloumi, kefir, margarine, milk,
        mozzarella, oat milk, parmesan, quark, ricotta, skyr, soy milk, yoghurt, yogurt
    """,
    "meat-fish": """
        anchovy, bacon, beef, chicken, chorizo, cod, crab, duck, fish, ham, lamb, mackerel,
        meat, meatball, mince, mussel, pork, prawn, salami, salmon, sardine, sausage, shrimp,
        steak, trout, tuna, turkey, veal
    """,
    "pantry": """
        almond, baking powder, baking soda, bean, biscuit, black pepper, bouillon, broth, caper,
        cashew, cereal, chickpea, chocolate, cinnamon, coconut milk, cookie, couscous, cracker,
        crisp, cumin, curry, flour, granola, honey, hummus, jam, ketchup, lentil, macaroni,
        maple syrup, marmalade, mayonnaise, muesli, mustard, noodle, nut, oat, oil, olive,
        olive oil, paprika, passata, pasta, peanut, peanut butter, pesto, pickle, popcorn, quinoa,
        raisin, rice, salt, sauce, soup, soy sauce, spaghetti, spice, stock, sugar, syrup,
        tahini, tinned tomato, tofu, tomato paste, tomato sauce, vanilla, vinegar, walnut, yeast
    """,
    "frozen": """
        fish finger, frozen, frozen pea, gelato, ice, ice cream, ice cube, lolly, oven chip, pea,
        pizza, sorbet
    """,
    "drinks": """
        ale, beer, champagne, cider, coffee, cola, cordial, drink, espresso, gin, ginger ale,
        juice, lemonade, prosecco, rum, smoothie, soda, sparkling water, squash drink, tea,
        tonic, vodka, water, whiskey, whisky, wine
    """,
    "household": """
        aluminium foil, baking paper, battery, bin bag, bleach, candle, cat food, cleaner,
        cling film, deodorant, detergent, dish soap, dishwasher tablet, dog food, foil, kitchen
        roll, kitchen towel, light bulb, nappy, paper towel, plaster, razor, shampoo, shower gel,
        soap, sponge, tissue, toilet paper, toilet roll, toothbrush, toothpaste, washing powder,
        washing up liquid
    """,
}

_IRREGULAR = {"leaves": "leaf", "loaves": "loaf", "halves": "half", "cookies": "cookie"}
_WORD = re.compile(r"[^\W_]+")


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("oes", "ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")):
        return word[:-1]
    return word


def _words(text: str) -> tuple[str, ...]:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    return tuple(_singular(word) for word in _WORD.findall(plain))


def _phrases() -> dict[tuple[str, ...], str]:
    return {
        _words(keyword): aisle
        for aisle, keywords in KEYWORDS.items()
        for keyword in keywords.split(",")
    }


_PHRASES = _phrases()
_LONGEST = max(len(phrase) for phrase in _PHRASES)


def classify(name: str) -> str:
    """Return the slug of the aisle for an item.

    The longest known phrase decides ("ice cream" is not cream); among phrases of the same
    length the last one does, because English puts the head noun last ("tomato soup" is soup).
    """
    words = _words(name)
    for length in range(min(_LONGEST, len(words)), 0, -1):
        for end in range(len(words), length - 1, -1):
            aisle = _PHRASES.get(words[end - length : end])
            if aisle is not None:
                return aisle
    return OTHER
