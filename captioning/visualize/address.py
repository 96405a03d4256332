"""The page's address: what of its state a link or a reload brings back."""

from collections.abc import Collection, Mapping

LONGEST_SHOWN = 40


def read_address(asked: Mapping[str, str], offers: Mapping[str, Collection[str]]) -> tuple[dict[str, str], list[str]]:
    """What an address asks for and the page has, and a sentence for each thing that it has not.

    Args:
        asked: the parameters of the address; those that the page does not know are left alone.
        offers: for each parameter of the page the values that it can have.
    """
    known = {name: value for name, value in asked.items() if value in offers.get(name, ())}
    notices = []
    for name in offers:
        if name in asked and name not in known:
            value = asked[name]
            shown = value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "…"
            notices.append(
                f"There is no {name} “{shown}” here, which the address asks for: this is the default instead."
            )
    return known, notices
