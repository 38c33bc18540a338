"""Small SVG plots: a panel for each row, a bar for each server, with the range of the rounds as a whisker."""

from __future__ import annotations

from html import escape

COLOURS = {"millrace": "#0b6e4f", "millrace-before": "#7fb8a4", "kafka": "#d1495b", "kafka-fsync": "#e8a0a8", "lightspeed-sync": "#8d99ae", "lightspeed-journal": "#6b7a90", "lightspeed-direct": "#4a5568", "nginx": "#3066be"}
WIDTH, LABEL, VALUE, BAR, GAP = 760, 150, 150, 16, 5


def number(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:.1f} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def bars(title: str, panels: list[dict]) -> str:
    """`panels`: title, unit, bars [(key, label, median, least, most)]."""
    parts, y = [], 34
    for panel in panels:
        parts.append(f'<text x="12" y="{y + 12}" class="h">{escape(panel["title"])} ({escape(panel["unit"])})</text>')
        y += 22
        top = max(most for *_, most in panel["bars"]) or 1
        scale = (WIDTH - LABEL - VALUE - 24) / top
        for key, label, median, least, most in panel["bars"]:
            parts.append(f'<text x="{LABEL}" y="{y + 12}" text-anchor="end">{escape(label)}</text>')
            parts.append(f'<rect x="{LABEL + 8}" y="{y}" width="{max(median * scale, 1):.1f}" height="{BAR}" fill="{COLOURS.get(key, "#777")}"/>')
            x1, x2, middle = LABEL + 8 + least * scale, LABEL + 8 + most * scale, y + BAR / 2
            parts.append(f'<path d="M{x1:.1f} {middle}H{x2:.1f}M{x1:.1f} {middle - 3}v6M{x2:.1f} {middle - 3}v6" class="w"/>')
            parts.append(f'<text x="{max(x2, LABEL + 8 + median * scale) + 6:.1f}" y="{y + 12}">{number(median)}</text>')
            y += BAR + GAP
        y += 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="12">\n'
        "<style>.h{font-weight:bold}.t{font-size:15px;font-weight:bold}.w{stroke:#222;stroke-width:1;fill:none}</style>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n<text x="12" y="20" class="t">{escape(title)}</text>\n' + "\n".join(parts) + "\n</svg>\n")
