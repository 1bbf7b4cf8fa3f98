// The theme, the search, and plotly's charts of a page of the book.
"use strict";
const chosen = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
};
const dark = matchMedia("(prefers-color-scheme: dark)");
document.documentElement.dataset.theme = chosen() ?? (dark.matches ? "dark" : "light");

addEventListener("DOMContentLoaded", () => {
    const root = document.documentElement;
    document.getElementById("theme").addEventListener("click", () => {
        root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
        try { localStorage.setItem("theme", root.dataset.theme); } catch { /* this page alone */ }
    });

    const field = document.getElementById("search"), found = document.getElementById("found");
    const show = () => {
        const words = field.value.toLowerCase().split(/\s+/).filter((word) => word.length > 1);
        found.replaceChildren();
        found.hidden = words.length === 0;
        if (found.hidden) return;
        const score = (section) => {
            const [heading, text] = [section.heading.toLowerCase(), section.text.toLowerCase()];
            if (!words.every((word) => heading.includes(word) || text.includes(word))) return 0;
            return 1 + 5 * words.filter((word) => heading.includes(word)).length;
        };
        const hits = window.SECTIONS.map((section) => [score(section), section]).filter(([points]) => points > 0);
        hits.sort(([a], [b]) => b - a);
        const line = document.createElement("p");
        line.textContent = `${hits.length} sections`;
        found.append(line);
        for (const [, section] of hits.slice(0, 20)) {
            const link = document.createElement("a");
            link.href = `${section.page}#${encodeURIComponent(section.anchor)}`;
            link.textContent = section.heading === section.lesson ? section.lesson : `${section.lesson} / ${section.heading}`;
            const at = Math.max(0, section.text.toLowerCase().indexOf(words[0]) - 60);
            const text = document.createElement("span");
            text.textContent = section.text.slice(at, at + 180);
            const hit = document.createElement("p");
            hit.append(link, text);
            found.append(hit);
        }
    };
    field.addEventListener("input", show);
    field.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { field.value = ""; show(); }
    });
    addEventListener("keydown", (event) => {
        if (event.key === "/" && document.activeElement !== field) { event.preventDefault(); field.focus(); }
    });

    for (const chart of document.querySelectorAll("[data-figure]")) {
        const figure = JSON.parse(chart.dataset.figure);
        window.Plotly?.newPlot(chart, figure.data, figure.layout, { responsive: true, displaylogo: false });
    }
});
