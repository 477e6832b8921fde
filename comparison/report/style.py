"""The styles of the page: light and dark, wide and narrow."""

STYLE = """
:root{--ink:#1c2128;--soft:#57606a;--line:#d8dee4;--paper:#fff;--tint:#f6f8fa;
--supported:#1a7f4b;--contradicted:#b3382c;--mixed:#8a6100;--undecided:#57606a;--none:#6e7781}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4b0;--line:#343b44;--paper:#0f1319;--tint:#171c23;
--supported:#4fc285;--contradicted:#f0857a;--mixed:#e0b04c;--undecided:#9aa4b0;--none:#838c95}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:60rem;margin:0 auto;padding:2.5rem 1.25rem 5rem}
h1{font-size:1.9rem;line-height:1.2;letter-spacing:-.015em;margin:0 0 .4rem}
h2{font-size:1.3rem;margin:3rem 0 .6rem}h3{font-size:1.1rem;margin:0}h4{margin:1.4rem 0 .2rem}
p{margin:.6rem 0}.note,.soft{color:var(--soft)}.note{font-size:.9rem;max-width:48rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;font-size:.88rem;margin:1.2rem 0;
padding:.9rem 1.1rem;background:var(--tint);border-radius:.5rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th{text-align:left;color:var(--soft);font-weight:600;border-bottom:2px solid var(--ink);padding:.4rem .7rem .4rem 0}
td{border-bottom:1px solid var(--line);padding:.45rem .7rem .45rem 0;vertical-align:top}
tr:last-child td{border-bottom:2px solid var(--ink)}
.tally{display:flex;flex-wrap:wrap;gap:.6rem;margin:1.2rem 0}
.tally div{border:1px solid var(--line);border-radius:.5rem;padding:.5rem .9rem;min-width:7rem}
.tally b{display:block;font-size:1.5rem;line-height:1.1}
.status{display:inline-block;font-weight:600;min-width:8rem}
.supported{color:var(--supported)}.contradicted{color:var(--contradicted)}.mixed{color:var(--mixed)}
.undecided,.fact{color:var(--undecided)}.not-measured-here,.not-judged{color:var(--none)}
article{border-top:1px solid var(--line);padding:1.6rem 0 .6rem;margin-top:1.6rem}
article header{display:flex;gap:1rem;justify-content:space-between;align-items:baseline;flex-wrap:wrap}
blockquote{margin:.4rem 0 .8rem;padding-left:.9rem;border-left:3px solid var(--line);color:var(--soft)}
.number{font-size:1.15rem;font-weight:600;margin:.4rem 0}.number .soft{font-size:.92rem;font-weight:400}
figure{margin:1rem 0;border:1px solid var(--line);border-radius:.5rem;padding:.6rem}
figure svg{display:block;max-width:100%;height:auto;margin:0 auto}
figcaption{color:var(--soft);font-size:.85rem;text-align:center}
code,pre{font:.82rem/1.5 ui-monospace,"SF Mono",Menlo,monospace}
pre{background:var(--tint);border-radius:.4rem;padding:.6rem .8rem;overflow-x:auto;margin:.6rem 0}
a{color:inherit;text-decoration-color:var(--line);text-underline-offset:.2em}
details{margin:.5rem 0;font-size:.92rem}summary{cursor:pointer;color:var(--soft)}
li{margin:.2rem 0}
nav{font-size:.9rem;margin:1.2rem 0}nav ol{list-style:none;margin:0;padding:0}nav li{margin:.3rem 0}
nav .contents{display:flex;flex-wrap:wrap;gap:0 1.1rem}
nav a{display:inline-block;margin:.1rem .25rem .1rem 0}nav.claims a{min-width:2.6rem;padding:.05rem .35rem;
border:1px solid var(--line);border-radius:.3rem;text-decoration:none;font-variant-numeric:tabular-nums}
.take{font-size:.85rem;color:var(--soft)}figure{overflow-x:auto}:target{scroll-margin-top:1rem}
a:focus-visible,summary:focus-visible{outline:2px solid var(--ink);outline-offset:2px}
@media(max-width:44rem){main{padding:1.5rem .9rem 4rem}figure svg{max-width:none}
dl{grid-template-columns:1fr}dt{margin-top:.4rem}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tr{display:block}tr{border-top:2px solid var(--line);padding:.4rem 0}
td{display:grid;grid-template-columns:7.5rem minmax(0,1fr);gap:.6rem;border:0!important;padding:.12rem 0;
overflow-wrap:anywhere}td::before{content:attr(data-label);color:var(--soft)}td:empty{display:none}}
"""
