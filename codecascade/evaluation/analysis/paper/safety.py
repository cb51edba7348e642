"""Tables 9 and 19 to 24: truth, toxicity and sentiment.

Table 25, the sentiment by profession, is not here: copies of it that could be consulted differ in three values.
"""

from __future__ import annotations

from codecascade.evaluation.analysis.paper.table_parts import parse_rows
from codecascade.evaluation.analysis.protocol import ColumnProtocol, PaperColumn, PaperTable
from codecascade.evaluation.benchmarks.safety.toxigen import GROUPS

_TRUTHFULQA = ColumnProtocol(temperature=0.1, top_p=0.9, problems=817)
_TOXIGEN = ColumnProtocol(temperature=0.1, top_p=0.9)
# Its 23,679 prompts without the two excluded groups and without four that are empty.
_BOLD = ColumnProtocol(temperature=0.1, top_p=0.9, problems=23_634)
_TOXIGEN_TITLES = {"middle_east": "Middle Eastern", "lgbtq": "LGBTQ"}


def _sentiments(domain: str, groups: dict[str, str]) -> tuple[PaperColumn, ...]:
    return tuple(
        PaperColumn("bold", (f"sentiment@{domain}.{name}",), title, "", _BOLD)
        for name, title in groups.items()
    )


TABLE_9 = PaperTable(
    "Table 9",
    "Truth, toxicity and sentiment",
    (
        PaperColumn(
            "truthfulqa", ("true_and_informative",), "TruthfulQA", "true and informative", _TRUTHFULQA
        ),
        PaperColumn("toxigen", ("toxic",), "ToxiGen", "toxic", _TOXIGEN),
        PaperColumn("bold", ("sentiment",), "BOLD", "sentiment", _BOLD),
    ),
    parse_rows(
        """
        Falcon 7B | 25.95 14.53 0.283
        MPT 7B | 29.13 22.32 0.322
        StarCoder (Python) 15.5B | 22.77 10.36 0.310
        Llama 2 7B | 33.29 21.25 0.304
        Llama 2 13B | 41.86 26.10 0.330
        Llama 2 34B | 43.45 21.19 0.318
        Code Llama 7B | 26.19 22.64 0.230
        Code Llama 13B | 33.29 22.45 0.176
        Code Llama 34B | 34.64 17.62 0.255
        Falcon-instruct 7B | 28.03 7.89 0.332
        MPT-instruct 7B | 29.99 16.33 0.302
        Llama 2 Chat 7B | 57.04 0.00 0.482
        Llama 2 Chat 13B | 62.18 0.00 0.471
        Llama 2 Chat 34B | 67.20 0.02 0.461
        Code Llama - Instruct 7B | 31.46 0.04 0.503
        Code Llama - Instruct 13B | 36.84 0.01 0.365
        Code Llama - Instruct 34B | 47.37 0.00 0.452
        """
    ),
    note="TruthfulQA and ToxiGen in percent; BOLD's sentiment is a number from -1 to 1.",
)

TABLE_19 = PaperTable(
    "Table 19",
    "TruthfulQA",
    (
        PaperColumn(
            "truthfulqa", ("true_and_informative",), "TruthfulQA", "true and informative", _TRUTHFULQA
        ),
        PaperColumn("truthfulqa", ("informative",), "TruthfulQA", "informative", _TRUTHFULQA),
        PaperColumn("truthfulqa", ("true",), "TruthfulQA", "true", _TRUTHFULQA),
    ),
    parse_rows(
        """
        Falcon 7B | 25.95 96.08 29.01
        MPT 7B | 29.13 92.04 36.72
        StarCoder (Python) 15.5B | 22.77 87.88 32.44
        Llama 2 7B | 33.29 93.02 39.53
        Llama 2 13B | 41.86 96.08 45.65
        Llama 2 34B | 43.45 96.70 46.14
        Code Llama 7B | 26.19 86.66 38.31
        Code Llama 13B | 33.29 89.84 42.96
        Code Llama 34B | 34.64 93.88 40.39
        Falcon-instruct 7B | 28.03 85.68 41.00
        MPT-instruct 7B | 29.99 94.37 35.13
        Llama 2 Chat 7B | 57.04 96.45 60.59
        Llama 2 Chat 13B | 62.18 96.45 65.73
        Llama 2 Chat 34B | 67.20 97.06 70.01
        Code Llama - Instruct 7B | 31.46 93.64 36.96
        Code Llama - Instruct 13B | 36.84 91.92 44.31
        Code Llama - Instruct 34B | 47.37 96.33 50.92
        """
    ),
)

TABLE_20 = PaperTable(
    "Table 20",
    "ToxiGen: toxic answers by group",
    tuple(
        PaperColumn(
            "toxigen",
            (f"toxic@{group}",),
            _TOXIGEN_TITLES.get(group, group.replace("_", " ").capitalize()),
            "",
            _TOXIGEN,
        )
        for group in GROUPS
    ),
    parse_rows(
        """
        Falcon 7B | 9.06 18.30 17.34 8.29 19.40 12.99 10.07 10.26 18.03 15.34 17.32 16.75 15.73
        MPT 7B | 15.4 33.55 23.54 17.09 26.12 23.2 16.25 17.63 28.4 19.52 24.34 25.04 20.03
        StarCoder (Python) 15.5B | 6.12 10.36 11.75 11.54 14.42 14.55 5.58 11.83 8.81 14.16 6.41 11.17 7.97
        Llama 2 7B | 16.53 31.15 22.63 15.74 26.87 19.95 15.79 19.55 25.03 18.92 21.53 22.34 20.2
        Llama 2 13B | 21.29 37.25 22.81 17.77 32.65 24.13 21.05 20.19 35.4 27.69 26.99 28.26 23.84
        Llama 2 34B | 16.76 29.63 23.36 14.38 27.43 19.49 18.54 17.31 26.38 18.73 22.78 21.66 19.04
        Code Llama 7B | 15.86 28.26 22.35 21.68 23.54 29.66 16.41 22.51 19.23 30.94 16.25 26.73 20.92
        Code Llama 13B | 16.76 27.86 23.18 17.77 32.46 21.06 20.8 29.66 23.43 17.95 17.85 19.32 23.69
        Code Llama 34B | 13.93 24.07 24.23 16.56 12.18 12.69 15.1 17.47 26.58 17.77 18.25 16.71 13.55
        Falcon-instruct 7B | 6.23 9.15 6.02 7.28 11.19 6.73 8.01 7.53 8.61 8.57 9.05 7.78 6.46
        MPT-instruct 7B | 15.86 28.76 11.31 9.64 18.84 14.62 15.33 16.51 25.3 13.94 12.95 17.94 11.26
        Llama 2 Chat 7B | 0 0 0 0 0 0 0 0 0 0 0 0 0
        Llama 2 Chat 13B | 0 0 0 0 0 0 0 0 0 0 0 0 0
        Llama 2 Chat 34B | 0.11 0 0 0.17 0 0 0 0 0 0 0 0 0
        Code Llama - Instruct 7B | 0 0 0 0 0.18 0.19 0 0 0 0 0 0 0.2
        Code Llama - Instruct 13B | 0 0 0.17 0 0 0 0 0 0 0 0 0 0
        Code Llama - Instruct 34B | 0 0 0 0 0 0 0 0 0 0 0 0 0
        """
    ),
    # In a cascade each model's own report shows its figures by group.
    otherwise_shown=True,
)

TABLE_21 = PaperTable(
    "Table 21",
    "BOLD: sentiment (-1 to 1) by race",
    _sentiments(
        "race",
        {
            "Asian_Americans": "Asian Americans",
            "African_Americans": "African Americans",
            "European_Americans": "European Americans",
            "Hispanic_and_Latino_Americans": "Hispanic and Latino Americans",
        },
    ),
    parse_rows(
        """
        Falcon 7B | 0.363 0.286 0.260 0.470
        MPT 7B | 0.384 0.342 0.247 0.388
        StarCoder (Python) 15.5B | 0.407 0.327 0.326 0.340
        Llama 2 7B | 0.379 0.333 0.268 0.435
        Llama 2 13B | 0.423 0.315 0.282 0.451
        Llama 2 34B | 0.403 0.337 0.280 0.419
        Code Llama 7B | 0.301 0.216 0.190 0.256
        Code Llama 13B | 0.253 0.178 0.145 0.214
        Code Llama 34B | 0.321 0.306 0.239 0.352
        Falcon-instruct 7B | 0.397 0.336 0.301 0.364
        MPT-instruct 7B | 0.376 0.315 0.290 0.317
        Llama 2 Chat 7B | 0.554 0.426 0.404 0.490
        Llama 2 Chat 13B | 0.507 0.402 0.377 0.487
        Llama 2 Chat 34B | 0.464 0.399 0.347 0.390
        Code Llama - Instruct 7B | 0.592 0.550 0.482 0.577
        Code Llama - Instruct 13B | 0.380 0.320 0.294 0.298
        Code Llama - Instruct 34B | 0.486 0.414 0.382 0.431
        """
    ),
    # In a cascade each model's own report shows its figures by group.
    otherwise_shown=True,
)

TABLE_22 = PaperTable(
    "Table 22",
    "BOLD: sentiment (-1 to 1) by gender",
    _sentiments("gender", {"American_actors": "American actors", "American_actresses": "American actresses"}),
    parse_rows(
        """
        Falcon 7B | 0.205 0.333
        MPT 7B | 0.304 0.432
        StarCoder (Python) 15.5B | 0.505 0.410
        Llama 2 7B | 0.291 0.417
        Llama 2 13B | 0.315 0.438
        Llama 2 34B | 0.247 0.449
        Code Llama 7B | 0.299 0.293
        Code Llama 13B | 0.268 0.232
        Code Llama 34B | 0.250 0.360
        Falcon-instruct 7B | 0.318 0.364
        MPT-instruct 7B | 0.314 0.377
        Llama 2 Chat 7B | 0.478 0.561
        Llama 2 Chat 13B | 0.463 0.527
        Llama 2 Chat 34B | 0.437 0.472
        Code Llama - Instruct 7B | 0.542 0.593
        Code Llama - Instruct 13B | 0.359 0.436
        Code Llama - Instruct 34B | 0.431 0.529
        """
    ),
    # In a cascade each model's own report shows its figures by group.
    otherwise_shown=True,
)

TABLE_23 = PaperTable(
    "Table 23",
    "BOLD: sentiment (-1 to 1) by religious ideology",
    _sentiments(
        "religious_ideology",
        {name: name.capitalize() for name in ("judaism", "christianity", "islam", "buddhism", "sikhism")},
    ),
    parse_rows(
        """
        Falcon 7B | 0.254 0.348 0.197 0.252 0.218
        MPT 7B | 0.395 0.376 0.312 0.273 0.074
        StarCoder (Python) 15.5B | 0.208 0.359 0.224 0.196 0.081
        Llama 2 7B | 0.341 0.278 0.296 0.243 0.160
        Llama 2 13B | 0.293 0.326 0.349 0.333 0.185
        Llama 2 34B | 0.312 0.237 0.320 0.338 0.284
        Code Llama 7B | 0.230 0.237 0.168 0.186 0.200
        Code Llama 13B | 0.089 0.236 0.115 0.111 0.074
        Code Llama 34B | 0.243 0.244 0.272 0.249 0.206
        Falcon-instruct 7B | 0.342 0.260 0.301 0.332 0.289
        MPT-instruct 7B | 0.352 0.292 0.330 0.412 0.144
        Llama 2 Chat 7B | 0.546 0.499 0.484 0.449 0.619
        Llama 2 Chat 13B | 0.404 0.497 0.715 0.405 0.618
        Llama 2 Chat 34B | 0.439 0.541 0.633 0.527 0.526
        Code Llama - Instruct 7B | 0.574 0.601 0.537 0.404 0.557
        Code Llama - Instruct 13B | 0.440 0.431 0.344 0.366 0.301
        Code Llama - Instruct 34B | 0.588 0.489 0.501 0.410 0.403
        """
    ),
    # In a cascade each model's own report shows its figures by group.
    otherwise_shown=True,
)

TABLE_24 = PaperTable(
    "Table 24",
    "BOLD: sentiment (-1 to 1) by political ideology",
    _sentiments(
        "political_ideology",
        {
            name: name.capitalize()
            for name in (
                "left-wing",
                "right-wing",
                "communism",
                "socialism",
                "democracy",
                "liberalism",
                "populism",
                "conservatism",
                "nationalism",
                "anarchism",
                "capitalism",
                "fascism",
            )
        },
    ),
    parse_rows(
        """
        Falcon 7B | 0.048 0.182 0.164 0.283 0.281 0.404 0.176 0.514 0.226 0.206 0.267 0.110
        MPT 7B | 0.200 0.308 0.197 0.325 0.306 0.590 0.185 0.520 0.257 0.102 0.353 -0.149
        StarCoder (Python) 15.5B | 0.090 0.298 0.279 0.301 0.345 0.411 0.226 0.338 0.240 0.184 0.223 0.007
        Llama 2 7B | 0.145 0.300 0.122 0.350 0.254 0.429 0.181 0.375 0.157 0.124 0.293 -0.127
        Llama 2 13B | 0.139 0.355 0.234 0.293 0.228 0.572 0.203 0.516 0.223 0.119 0.290 -0.168
        Llama 2 34B | 0.119 0.157 0.183 0.361 0.355 0.520 0.103 0.541 0.281 0.112 0.298 -0.190
        Code Llama 7B | 0.156 0.259 0.235 0.232 0.225 0.383 0.173 0.433 0.134 0.181 0.149 -0.014
        Code Llama 13B | 0.012 0.074 0.115 0.187 0.143 0.207 0.175 0.286 0.058 -0.020 0.204 0.001
        Code Llama 34B | 0.135 0.312 0.119 0.237 0.232 0.445 0.216 0.346 0.103 0.109 0.306 -0.279
        Falcon-instruct 7B | 0.106 0.212 0.208 0.282 0.342 0.230 0.315 0.449 0.226 0.219 0.292 -0.270
        MPT-instruct 7B | 0.125 0.286 0.115 0.344 0.352 0.532 0.283 0.563 0.270 0.015 0.318 -0.117
        Llama 2 Chat 7B | 0.281 0.510 0.291 0.437 0.590 0.745 0.285 0.748 0.551 0.259 0.504 -0.191
        Llama 2 Chat 13B | 0.353 0.487 0.449 0.494 0.495 0.723 0.296 0.670 0.543 0.359 0.504 0.159
        Llama 2 Chat 34B | 0.296 0.515 0.358 0.478 0.560 0.759 0.284 0.746 0.532 0.338 0.539 0.023
        Code Llama - Instruct 7B | 0.360 0.435 0.302 0.516 0.518 0.705 0.261 0.720 0.512 0.366 0.434 0.212
        Code Llama - Instruct 13B | 0.234 0.338 0.220 0.440 0.425 0.643 0.258 0.636 0.346 0.284 0.478 -0.011
        Code Llama - Instruct 34B | 0.350 0.580 0.386 0.551 0.555 0.727 0.232 0.712 0.448 0.301 0.523 -0.135
        """
    ),
    # In a cascade each model's own report shows its figures by group.
    otherwise_shown=True,
)
