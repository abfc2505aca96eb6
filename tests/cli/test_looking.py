"""Commands that look at things: explain as a graph, preview, tail, connectors, topics; and ``new``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from penstock.cli.main import main
from penstock.connectors import registry
from penstock.topics import Topic
from tests.child_processes import ENVIRONMENT

PROGRAM = """
import polars as pl, penstock as ps
rows = ps.scan_batches([pl.DataFrame({"a": [1, 2, 3], "b": ["x", "<y>", None]})])
big = rows.filter(pl.col("a") > 1)
total = big.select(pl.col("a").sum()).named("summed")
one = total.sink_callback(print)
two = big.sink_sqlite("FOLDER/out.db", "big")
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM.replace("FOLDER", str(tmp_path)))
    return str(file)


def out_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = main(list(arguments))
    found = capsys.readouterr()
    assert code == 0, found.err
    return found.out


def test_explain_as_json_numbers_the_steps_as_the_text_does(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = out_of(capsys, "explain", program)
    steps = json.loads(out_of(capsys, "explain", program, "--json"))
    for step in steps:
        assert f"{step['number']}. {step['text']}" in text
    by_text = {step["text"].split()[0]: step for step in steps}
    assert by_text["Aggregate"]["name"] == "summed"
    assert by_text["Filter"]["inputs"] == [by_text["Scan"]["number"]]
    assert by_text["Filter"]["columns"] == {"a": "Int64", "b": "String"}
    assert [step["role"] for step in steps].count("sink") == 2
    assert "rows.filter" in by_text["Filter"]["line"]


def test_explain_as_a_graph_and_as_a_picture(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = json.loads(out_of(capsys, "explain", program, "--json"))
    edges = sum(len(step["inputs"]) for step in steps)
    dot = out_of(capsys, "explain", program, "--dot")
    assert dot.startswith("digraph plan {")
    assert dot.count(" -> ") == edges
    assert out_of(capsys, "explain", program, "--svg", "-o", str(tmp_path / "plan.svg")) == ""
    picture = ElementTree.parse(tmp_path / "plan.svg").getroot()
    names = [element.tag.rpartition("}")[2] for element in picture.iter()]
    assert (names.count("rect"), names.count("path")) == (len(steps), edges)
    x = {
        int(box.findtext("{*}text").partition(".")[0]): float(box.find("{*}rect").get("x"))
        for box in picture.iterfind("{*}g")
    }
    assert all(x[child] < x[step["number"]] for step in steps for child in step["inputs"])


def test_explain_takes_one_form(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", program, "--dot", "--json"]) == 2
    assert "give one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step", "wanted"),
    [("rows", [1, 2, 3]), ("summed", [5]), ("big", [2, 3]), ("total", [5]), ("1", [5])],
)
def test_preview_of_any_step(
    program: str, capsys: pytest.CaptureFixture[str], step: str, wanted: list[int]
) -> None:
    lines = out_of(capsys, "preview", program, step, "--json").splitlines()
    assert [json.loads(line)["a"] for line in lines] == wanted


def test_preview_without_a_step_shows_what_the_last_sink_gets(
    program: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "<y>" in out_of(capsys, "preview", program)
    assert not (tmp_path / "out.db").exists()


def test_preview_names_the_steps_there_are(
    program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", program, "bigg"]) == 2
    assert "did you mean 'big'" in capsys.readouterr().err


def test_preview_of_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.ndjson").write_text('{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n{"a": 3}\n')
    url = str(tmp_path / "a.ndjson")
    assert '"b":"y"' in out_of(capsys, "preview", url, "--json")
    declared = ("--columns", "a DOUBLE", "-n", "1", "--json")
    assert out_of(capsys, "preview", url, *declared) == '{"a":1.0}\n'
    assert main(["preview", url, "a step"]) == 2
    assert main(["preview", url, "--columns", "a INT); DROP TABLE x; --"]) == 2
    assert main(["preview", "nothing:here"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_tail_prints_rows_and_ends_after_as_many_as_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "rate:100000"
    lines = out_of(capsys, "tail", url, "-n", "3", "--json").splitlines()
    assert [json.loads(line)["offset"] for line in lines] == [0, 1, 2]
    frame = pl.DataFrame({"a": [[1, 2], None], "b": [b"\x01", None], "c": [{"d": 1}, {"d": None}]})
    with Topic.create(tmp_path / "t", partitions=1, schema=frame.schema) as topic:
        topic.append(frame)
    found = out_of(capsys, "tail", f"topic:{tmp_path / 't'}", "-n", "2", "-o", "stop=at end")
    assert found == '[1, 2]\t01\t{"d":1}\nnull\tnull\t{"d":null}\n'


def test_connectors_are_those_of_the_registry(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(out_of(capsys, "connectors", "--json"))
    assert {(each["name"], each["kind"]) for each in found} == {
        *((name, "source") for name in registry.SOURCES),
        *((name, "sink") for name in registry.SINKS),
    }
    assert all(each["about"] for each in found)
    assert "max_line_bytes" in out_of(capsys, "connectors", "tail")
    assert "kafka" in out_of(capsys, "connectors")
    assert main(["connectors", "kafak"]) == 2
    assert "did you mean 'kafka'" in capsys.readouterr().err


def test_topics_are_made_shown_and_told_what_to_keep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "clicks")
    out_of(capsys, "topics", "create", place, "--partitions", "2", "--retention", "7d")
    with Topic.open(place) as topic:
        topic.append(pl.DataFrame({"key": [b"a"], "value": [b"1"]}), partition=1)
    fact = json.loads(out_of(capsys, "topics", "show", place, "--json"))
    assert fact["records"] == 1
    assert [p["end"] for p in fact["partitions"]] == [0, 1]
    assert fact["kept"] == "keeps 7 days, 0:00:00"
    assert "value" in out_of(capsys, "topics", "show", place)
    assert "keeps everything" in out_of(capsys, "topics", "keep", place)
    assert "clicks" in out_of(capsys, "topics", "list", str(tmp_path))
    (listed,) = json.loads(out_of(capsys, "topics", "list", str(tmp_path), "--json"))
    assert listed["path"] == place
    assert main(["topics", "create", place]) == 2
    assert main(["topics", "show", str(tmp_path)]) == 2
    assert main(["topics", "keep", place, "--retention", "soon"]) == 2
    assert main(["topics", "list", str(tmp_path / "none")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_new_project_runs_and_its_test_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "traffic"
    assert "pipeline.py" in out_of(capsys, "new", str(folder))
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    lines = out_of(capsys, "preview", str(folder / "pipeline.py"), "requests", "--json")
    assert len(lines.splitlines()) == 4
    assert "traffic" in (folder / "README.md").read_text()
    assert main(["new", str(folder)]) == 2
    assert "empty folder" in capsys.readouterr().err


def test_bench_measures_each_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(out_of(capsys, "bench", "--rows", "65536", "--json"))
    assert [each["name"] for each in found] == ["filter", "group by", "windows", "join"]
    assert all(len(each["rows_per_s"]) == 3 and min(each["rows_per_s"]) > 0 for each in found)
    assert out_of(capsys, "bench", "--rows", "65536").startswith("pipeline")
