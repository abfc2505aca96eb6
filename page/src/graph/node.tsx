import { memo } from "preact/compat";
import { count, rate, share } from "../format";
import { history } from "../live";
import { domId, namesOf } from "../names";
import { Sparkline } from "../parts/sparkline";
import type { Step } from "../types";
import type { Box } from "./geometry";

const GLYPHS: [RegExp, string][] = [
  [/^source$/, "▶"],
  [/^sink$/, "■"],
  [/join/, "⋈"],
  [/session/, "◔"],
  [/window/, "⊞"],
  [/aggregate|distinct/, "Σ"],
  [/watermark/, "≈"],
  [/top|best|sort|limit/, "↑"],
  [/dead/, "✕"],
  [/late/, "◷"],
  [/map/, "ƒ"],
];

export function glyph(kind: string): string {
  return GLYPHS.find(([pattern]) => pattern.test(kind))?.[1] ?? "◆";
}

export function loadLabel(step: Step): string {
  if (step.load === "blocked") return "back-pressured";
  if (step.load === "idle") return "idle";
  return step.busy > 0 ? `busy ${share(step.busy)}` : "busy";
}

interface Props {
  id: string;
  step: Step;
  box: Box;
  selected: boolean;
  select: (id: string) => void;
}

// Drawn again with each snapshot: `step` is a new object each time, `box` and `select` stay.
export const Node = memo(function Node({ id, step, box, selected, select }: Props) {
  const { title, subtitle } = namesOf(step);
  const shown = step.kind === "source" ? step.out_per_second : step.in_per_second;
  const style = {
    left: `${box.x}px`,
    top: `${box.y}px`,
    width: `${box.width}px`,
    height: `${box.height}px`,
    "--busy": step.load === "busy" ? Math.max(0.12, step.busy) : 0,
  };
  return (
    <button
      id={domId(id)}
      class={`node ${step.load}`}
      style={style}
      aria-pressed={selected}
      aria-label={`${title}, ${step.kind}, ${loadLabel(step)}, ${rate(shown)}`}
      title={step.text}
      onClick={() => select(id)}
    >
      <span class="top">
        <i class="glyph">{glyph(step.kind)}</i>
        <b>{title}</b>
      </span>
      <small>{subtitle}</small>
      <span class="bottom">
        <span class="figures">
          <em>{rate(shown)}</em>
          <small class="load">{loadLabel(step)}</small>
        </span>
        <Sparkline values={history(id)} width={84} height={26} />
      </span>
      {step.rows_dead > 0 && <span class="flag dead">✕ {count(step.rows_dead)}</span>}
      {step.rows_late > 0 && <span class="flag late">◷ {count(step.rows_late)}</span>}
    </button>
  );
});
