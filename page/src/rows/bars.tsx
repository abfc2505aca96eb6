import { count } from "../format";

interface Bar {
  name: string;
  value: number;
}

export function Bars({ bars, caption }: { bars: Bar[]; caption: string }) {
  const highest = Math.max(...bars.map((bar) => bar.value), 1e-9);
  return (
    <figure class="bars">
      <ol>
        {bars.map((bar) => (
          <li key={bar.name}>
            <span title={bar.name}>{bar.name}</span>
            <i style={{ width: `${Math.max(0, (100 * bar.value) / highest)}%` }} />
            <b>{count(bar.value)}</b>
          </li>
        ))}
      </ol>
      <figcaption>{caption}</figcaption>
    </figure>
  );
}
