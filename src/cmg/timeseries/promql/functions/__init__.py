"""The functions of PromQL: of windows, of single values, of dates, labels and histograms.

Blocks and vectors of samples enter, values and where they are present leave; what a name means is in `table`.
"""
