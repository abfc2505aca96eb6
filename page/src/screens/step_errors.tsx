import { lettersPath, usePolled } from "../api";
import type { Letter, Run, Step } from "../types";

const EVERY_MS = 2000;
const SHOWN = 20;

export function StepErrors({ run, step }: { run: Run; step: Step }) {
  const letters = usePolled<Letter[]>(lettersPath(run.name), EVERY_MS) ?? [];
  const mine = letters.filter((letter) => letter.operator === step.name).slice(0, SHOWN);
  return (
    <>
      <h3>Errors</h3>
      <ul class="errors">
        {mine.map((letter, i) => (
          <li key={i}>
            <b>{letter.reason}</b>
            <code>{letter.bytes}</code>
            <small>{letter.position}</small>
          </li>
        ))}
      </ul>
    </>
  );
}
