#include "host/report/page.hpp"

#include <algorithm>
#include <cctype>

#include "host/report/charts.hpp"

namespace quanthost::report {
namespace {

// The policy lets nothing be fetched, whatever a name in the data tries to be.
constexpr const char* kHead = R"(<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>
:root { --ground: #fbfbfc; --card: #ffffff; --text: #1c2128; --soft: #5d6670; --line: #d9dee4; --before: #b6c0cb; --after: #1f6feb; --good: #1a7f37; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #0e1116; --card: #171b22; --text: #e6eaf0; --soft: #9aa5b1; --line: #30363f; --before: #566270; --after: #58a6ff; --good: #56d364; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 20px 16px 48px; }
h1 { font-size: 1.5rem; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 4px; }
p { margin: 0 0 10px; color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; margin-top: 16px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px; min-width: 0; }
section.wide { grid-column: 1 / -1; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin: 0; }
dt { color: var(--soft); font-size: .85rem; } dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
svg { display: block; width: 100%; max-width: 500px; height: auto; }
svg text { font: 11.5px system-ui, sans-serif; fill: var(--soft); }
.rule { stroke: var(--line); } .before { fill: var(--before); } .after { fill: var(--after); }
.area { fill: var(--after); opacity: .18; }
.before-line, .after-line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.before-line { stroke: var(--before); } .after-line { stroke: var(--after); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .8em; }
.key.b { background: var(--before); } .key.a { background: var(--after); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: 4px 10px; border-top: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; border-top: 0; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--after); padding: 6px 0; }
/* A phone shows each row as a card: the name, then one line for each figure. */
@media (max-width: 560px) {
  table, tbody, tr, td { display: block; } tr.head { display: none; }
  dl { grid-template-columns: 1fr 1fr; } dd { font-size: .9rem; } svg text { font-size: 13px; }
  tr { border-top: 1px solid var(--line); padding: 6px 0; }
  td { border: 0; padding: 1px 0; display: flex; justify-content: space-between; gap: 12px; white-space: normal; }
  td::before { content: attr(data-label); color: var(--soft); }
  td:first-child { font-weight: 600; overflow-wrap: anywhere; } td:first-child::before { content: none; }
}
</style>
)";

std::string megabytes(double bytes) { return fmt::format("{:.2f}", bytes / 1e6); }

std::string section(const char* title, const std::string& body, bool wide = false) {
  return fmt::format("<section{}>\n<h2>{}</h2>\n{}</section>\n", wide ? " class=\"wide\"" : "",
                     title, body);
}

using Row = std::vector<std::string>;

// The first row is the head; the first column is text, the others are numbers. Each cell carries
// its column's name for narrow screens.
std::string table(const std::vector<Row>& rows) {
  std::string out = "<div class=\"scroll\"><table>\n<tr class=\"head\">";
  for (const std::string& name : rows[0]) out += fmt::format("<th>{}</th>", escaped(name));
  out += "</tr>\n";
  for (std::size_t i = 1; i < rows.size(); ++i) {
    out += "<tr>";
    for (std::size_t column = 0; column < rows[i].size(); ++column)
      out += fmt::format("<td data-label=\"{}\">{}</td>", escaped(rows[0][column]),
                         escaped(rows[i][column]));
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

std::string folded(const std::string& summary, const std::string& body) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escaped(summary), body);
}

std::string legend(const char* first, const char* second) {
  if (!*first) return {};  // one colour needs no key
  return fmt::format("<p><span class=\"key b\"></span>{}<span class=\"key a\"></span>{}</p>\n",
                     first, second);
}

// "model.layers.3.mlp.up_proj" belongs to "model.layers.3"; what stands in no block to itself.
std::string block_of(const std::string& name) {
  for (std::size_t at = 0; (at = name.find('.', at)) != name.npos; ++at) {
    std::size_t end = at + 1;
    while (end < name.size() && name[end] >= '0' && name[end] <= '9') ++end;
    if (end > at + 1 && (end == name.size() || name[end] == '.')) return name.substr(0, end);
  }
  return name;
}

// Embeddings are many times a block: on one scale with them nothing of a block would be seen. What
// lies outside of the blocks leaves the chart and is told instead.
std::string outside_of_blocks(std::vector<Bar>& bars, bool changed) {
  const auto is_block = [](const Bar& bar) {
    return std::isdigit(static_cast<unsigned char>(bar.label.back()));
  };
  if (std::none_of(bars.begin(), bars.end(), is_block)) return {};
  double before = 0, after = 0;
  for (const Bar& bar : bars) {
    if (is_block(bar)) continue;
    before += bar.first;
    after += bar.second;
  }
  std::erase_if(bars, [&](const Bar& bar) { return !is_block(bar); });
  return fmt::format(
      "<p>The blocks are drawn; outside of them (embeddings, norms, head) lie {}{} MB.</p>\n",
      changed && before != after ? megabytes(before) + " MB, now " : "", megabytes(after));
}

std::string sizes_sentence(double before, double after, bool both) {
  if (!both)
    return fmt::format("<p>{} MB as stored. Give the dense model first for a comparison.</p>\n",
                       megabytes(after));
  if (before == after)
    return fmt::format("<p>{} MB, none of it quantized.</p>\n", megabytes(after));
  return fmt::format("<p>{} MB became {} MB, {:.2f} times smaller.</p>\n", megabytes(before),
                     megabytes(after), after > 0 ? before / after : 0);
}

std::string sizes_section(const std::vector<LayerSize>& layers) {
  std::vector<Bar> blocks;
  std::vector<Row> rows{{"Layer", "Class", "Before MB", "After MB", "Ratio"}};
  double before = 0, after = 0;
  const bool both =
      std::any_of(layers.begin(), layers.end(), [](const auto& l) { return l.before > 0; });
  const bool changed = std::any_of(layers.begin(), layers.end(), [](const auto& l) {
    return l.before > 0 && l.before != l.after;
  });
  for (const LayerSize& layer : layers) {
    const std::string block = block_of(layer.name);
    if (blocks.empty() || blocks.back().label != block) blocks.push_back({block, 0, 0});
    blocks.back().first += layer.before;
    blocks.back().second += layer.after;
    before += layer.before;
    after += layer.after;
    rows.push_back({layer.name, layer.module_class, both ? megabytes(layer.before) : "-",
                    megabytes(layer.after),
                    layer.before > 0 && layer.after > 0
                        ? fmt::format("{:.2f}x", layer.before / layer.after)
                        : "-"});
  }
  for (Bar& block : blocks)
    if (block.label.empty()) block.label = "model";
  std::string body = sizes_sentence(before, after, both) + outside_of_blocks(blocks, changed) +
                     legend(changed ? "before" : "", "after");
  if (!changed)  // one bar a block says it all
    for (Bar& block : blocks) block.first = 0;
  body += paired_bars(blocks, "Bytes of each block");
  return section("Size by layer",
                 body + folded(fmt::format("All {} layers", layers.size()), table(rows)));
}

std::string errors_section(const std::vector<LayerError>& errors) {
  std::vector<Row> head{{"Layer", "Bits", "Group", "Error", "Rounding", "Loss", "Seconds"}};
  const auto row_of = [](const LayerError& e) -> Row {
    return {e.name,
            std::to_string(e.bits),
            e.group_size > 0 ? std::to_string(e.group_size) : "row",
            fmt::format("{:.3g}", e.error),
            fmt::format("{:.3g}", e.rtn_error),
            fmt::format("{:.3g}", e.loss),
            fmt::format("{:.2f}", e.seconds)};
  };
  std::vector<LayerError> worst = errors;
  std::stable_sort(worst.begin(), worst.end(),
                   [](const LayerError& a, const LayerError& b) { return a.error > b.error; });
  worst.resize(std::min<std::size_t>(worst.size(), 5));
  std::vector<Row> rows{{"Layer", "Error", "Rounding"}}, all = head;
  for (const LayerError& e : worst)
    rows.push_back({e.name, fmt::format("{:.3g}", e.error), fmt::format("{:.3g}", e.rtn_error)});
  for (const LayerError& e : errors) all.push_back(row_of(e));
  std::string body =
      "<p>Squared error of each layer's outputs on the calibration data, relative to the "
      "outputs; lower is better.</p>\n" +
      legend("rounding to nearest", "calibrated");
  body += error_lines(errors, "Error of each layer");
  body += "<p>The largest errors:</p>\n" + table(rows);
  return section("Error by layer",
                 body + folded(fmt::format("All {} layers", errors.size()), table(all)));
}

std::string speed_section(const RunData& data) {
  std::vector<Row> rows{
      {"Method", "Load s", "Prefill tok/s", "Decode tok/s", "Model MB", "Peak MB"}};
  const auto figure = [](double value, const char* format) {
    return value > 0 ? fmt::format(fmt::runtime(format), value) : std::string("-");
  };
  for (const Speed& speed : data.speeds)
    rows.push_back({speed.method, figure(speed.load_seconds, "{:.3f}"),
                    figure(speed.prefill, "{:.1f}"), figure(speed.decode, "{:.1f}"),
                    figure(speed.model_bytes / 1e6, "{:.1f}"),
                    figure(speed.peak_bytes / 1e6, "{:.1f}")});
  std::string body = table(rows);
  if (!data.layer_speeds.empty()) {
    std::vector<Row> layers{{"Method", "Layer", "Shape", "Rows", "µs", "Dense µs", "Times dense"}};
    for (const LayerSpeed& s : data.layer_speeds)
      layers.push_back({s.method, s.module_class, fmt::format("{}x{}", s.in, s.out),
                        std::to_string(s.rows), fmt::format("{:.1f}", s.seconds * 1e6),
                        fmt::format("{:.1f}", s.dense_seconds * 1e6),
                        s.seconds > 0 ? fmt::format("{:.2f}x", s.dense_seconds / s.seconds) : "-"});
    body += folded("Layers alone", table(layers));
  }
  return section("Speed", body, true);
}

std::string facts_section(const RunData& data) {
  std::string body = "<dl>\n";
  for (const auto& [name, value] : data.facts)
    body += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value));
  return section("In short", body + "</dl>\n", true);
}

}  // namespace

std::string html_page(const RunData& data, const std::string& title) {
  std::string body;
  if (!data.facts.empty()) body += facts_section(data);
  if (!data.layers.empty()) body += sizes_section(data.layers);
  if (!data.errors.empty()) body += errors_section(data.errors);
  if (data.memory.size() > 1)
    body +=
        section("Memory while loading", "<p>Resident memory of the whole process.</p>\n" +
                                            memory_area(data.memory, "Resident memory over time"));
  if (!data.stages.empty())
    body += section("Stages", "<p>From the begin to the end of each stage.</p>\n" +
                                  stage_lanes(data.stages, "Time of each stage"));
  if (!data.speeds.empty()) body += speed_section(data);
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n{}<title>{}</title>\n</head>\n<body>\n<main>\n"
      "<h1>{}</h1>\n<p>Written by quanthost.</p>\n<div "
      "class=\"cards\">\n{}</div>\n</main>\n</body>\n"
      "</html>\n",
      kHead, escaped(title), escaped(title), body);
}

}  // namespace quanthost::report
