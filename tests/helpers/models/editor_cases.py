"""Files in several languages, and what is left of a completion in one of them."""

from __future__ import annotations

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.editor_stops import EditorStopper

PYTHON = '''\
import math


def total(prices):
    """Sum what is there."""
    result = 0
    for price in prices:
        result += price
    return result


class Basket:
    def __init__(self, owner):
        self.owner = owner
        self.prices = []

    def add(self, price):
        if price < 0:
            raise ValueError("no price")
        else:
            self.prices.append(price)
        return self

    @property
    def size(self):
        return len(self.prices)


def main():
    basket = Basket("me").add(1).add(
        2,
    )
    print(total(basket.prices), math.pi)


if __name__ == "__main__":
    main()
'''


GO = """\
package main

import "fmt"

// Total adds.
func Total(prices []int) int {
\tresult := 0
\tfor _, price := range prices {
\t\tresult += price
\t}
\treturn result
}

func main() {
\tbasket := []int{
\t\t1,
\t\t2,
\t}
\tif len(basket) == 0 {
\t\treturn
\t} else {
\t\tfmt.Println("none)")
\t}
\tfmt.Println(Total(basket))
}
"""


JAVASCRIPT = """\
// (a list
export class Basket {
  constructor(owner) {
    this.owner = owner;
    this.prices = [];
  }

  add(price) {
    this.prices.push(price);
    return this;
  }

  each(callback) {
    this.prices.forEach((price) => {
      callback(price, `${price} :(`);
    });
  }
}

const basket = new Basket("me");
basket.add(1);
basket.each((price) => console.log(price));
"""


JAVA = """\
package shop;

public class Basket {
    private final List<Integer> prices = new ArrayList<>();

    public Basket add(int price) {
        if (price < 0) {
            throw new IllegalArgumentException("no price :(");
        }
        prices.add(price);
        return this;
    }

    /** How many. */
    public int size() {
        return prices.size();
    }
}
"""


RUBY = """\
class Basket
  attr_reader :prices

  def initialize(owner)
    @owner = owner
    @prices = []
  end

  def add(price)
    raise ArgumentError if price < 0

    @prices << price
    self
  end

  def each
    @prices.each do |price|
      yield price
    end
  end
end
"""


C = """\
#include <stdio.h>

static int total(const int *prices, int n)
{
    int result = 0;
    for (int i = 0; i < n; i++) {
#ifdef LOUD
        printf("%d\\n", prices[i]);
#endif
        result += prices[i];
    }
    return result;
}

int main(void)
{
    int prices[] = {1, 2};
    printf("(%d\\n", total(prices, 2));
    return 0;
}
"""


FILES = {"python": PYTHON, "go": GO, "javascript": JAVASCRIPT, "java": JAVA, "ruby": RUBY, "c": C}


def complete(stops: EditorStops, text: str, *, sizes: tuple[int, ...] = ()) -> tuple[str, str | None]:
    """The completion that is left of ``text``, pushed in parts of ``sizes`` (the last one again and again)."""
    stopper = EditorStopper(stops)
    given, at = [], 0
    while at < len(text) and stopper.stopped_by is None:
        size = sizes[min(len(given), len(sizes) - 1)] if sizes else len(text)
        given.append(stopper.push(text[at : at + size]))
        at += size
    given.append(stopper.finish())
    assert stopper.push("more") + stopper.finish() == "" or stopper.stopped_by is None
    return "".join(given), stopper.stopped_by


def at_cursor(text: str, **how: object) -> EditorStops:
    prefix, suffix = text.split("¦")
    return EditorStops(prefix, suffix, **how)
