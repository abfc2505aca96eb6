// What the server sends; described in openapi.json.

export type Load = "busy" | "idle" | "blocked";

export interface Step {
  name: string;
  kind: string;
  text: string;
  line: string | null;
  inputs: string[];
  load: Load;
  busy: number;
  rows_in: number;
  rows_out: number;
  in_per_second: number;
  out_per_second: number;
  rows_late: number;
  rows_dead: number;
  rows_lost: number;
  state_rows: number;
  state_bytes: number;
  epochs: number;
  mean_epoch_seconds: number;
  last_epoch_seconds: number;
  watermark: number | null;
  watermark_delay: number | null;
  queued_rows: number;
  lag: number | null;
  partitions: { name: string; lag: number }[];
  changelog: boolean;
  waiting_epochs: number;
  applied_epoch: number | null;
  guarantee: string | null;
}

export interface Checkpoint {
  epoch: number;
  at: number;
  seconds: number;
  size_bytes: number;
}

export interface Run {
  name: string;
  state: string;
  epoch: number;
  running_seconds: number;
  rows_in: number;
  rows_out: number;
  in_per_second: number;
  dead_letters: number;
  late_rows: number;
  lag: number | null;
  watermark_delay: number | null;
  latency_p50: number | null;
  latency_p99: number | null;
  keeps_checkpoints: boolean;
  checkpoint_epoch: number | null;
  checkpoints: Checkpoint[];
  restarts: number;
  last_error: string | null;
  warnings: string[];
  steps: Step[];
}

export interface Snapshot {
  at: number;
  process: string;
  version: string;
  runs: Run[];
}

export interface Column {
  name: string;
  type: string;
  kind: "number" | "instant" | "text" | "flag" | "other";
}

export type Value = number | string | boolean | null;

export interface Rows {
  columns: Column[];
  rows: Value[][];
  total: number;
  age: number;
  view: boolean;
  key: string[];
  too_large: boolean;
  chart: "time" | "bars" | "histogram" | null;
  x: string | null;
  y: string[];
}

export interface Letter {
  time: string;
  operator: string;
  step: string;
  position: string;
  reason: string;
  bytes: string;
}
