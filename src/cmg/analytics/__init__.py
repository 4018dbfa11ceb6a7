"""What the figures say: dashboards' panels, and the reports on calls, people and money that stand behind them.

A panel, a span of time and the workspace that its reader may see enter; series or a table leave. Figures come from the
ledger by named reports, or from whoever answers PromQL.
"""
