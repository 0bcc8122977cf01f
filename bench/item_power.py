"""What n items can show of two models, as a table: `python bench/item_power.py`.

The exact power of McNemar's test at .05 (see `clapbench.statistics.item_power`): a row for each difference of the two
true shares, a column for each share of items that one of the two alone gets right.
"""

from __future__ import annotations

from clapbench.statistics.item_power import mcnemar_power

SIZES = (197, 400)
DIFFERENCES = (0.03, 0.06, 0.1, 0.15, 0.2)
DIFFER = (0.06, 0.1, 0.15, 0.2, 0.3, 0.4)


def main() -> None:
    """Prints both tables in Markdown."""
    for n in SIZES:
        print(f"\n| n = {n}: difference | " + " | ".join(f"{differ:g} differ" for differ in DIFFER) + " |")
        print("|---" * (len(DIFFER) + 1) + "|")
        for difference in DIFFERENCES:
            powers = [
                f"{mcnemar_power(n, difference=difference, differ=differ):.2f}"
                if differ >= difference
                else ""
                for differ in DIFFER
            ]
            print(f"| {difference:g} | " + " | ".join(powers) + " |")


if __name__ == "__main__":
    main()
