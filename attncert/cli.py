"""The command line: thin over `attncert.api` and the kernel.

Exit codes: 0 proved, 1 refuted or rejected, 2 bad input or usage, 3 undecided. Anything else is a defect of attncert.
numpy, mpmath and the engine are imported inside the commands that need them, so that `--help` is quick.
"""

from __future__ import annotations

import functools
import io
import math
import os
import re
import shlex
import stat
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attncert import reports

if TYPE_CHECKING:
    from attncert.api import Certificate, Result
    from attncert.verifier.paving import Progress

PROVED, NEGATIVE, BAD_INPUT, UNDECIDED = 0, 1, 2, 3
EXIT_CODES = {"proved": PROVED, "verified": PROVED, "refuted": NEGATIVE, "rejected": NEGATIVE, "undecided": UNDECIDED}
OUTPUT_CLOSED = 141  # what a shell reports for a program that a closed pipe ended
DEFECT = 70

DEFAULT_FILE = "certificate.json"
COMPLETION_VARIABLE = "_ATTNCERT_COMPLETE"


# --- running a command -----------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; every failure is one line on stderr."""
    # Threads of BLAS wait actively for each other: beside other processes that costs far more than they gain here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if not sys.warnoptions:  # numpy's overflows to infinity are meant: outward rounding counts on them
        warnings.simplefilter("ignore", RuntimeWarning)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python's own flush at exit complains
        return OUTPUT_CLOSED
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return _fail(_usage_line(error))
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return UNDECIDED
    except MemoryError:
        return _fail("out of memory")
    except OSError as error:
        return _fail(
            f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror or error)
        )
    except Exception as error:
        from attncert.certificates.errors import InputError

        if isinstance(error, InputError):
            return _fail(str(error))
        traceback.print_exc()
        _say("error: this is a defect of attncert")
        return DEFECT


def _run(arguments: list[str]) -> int:
    if COMPLETION_VARIABLE in os.environ:
        cli.main(arguments, prog_name="attncert", complete_var=COMPLETION_VARIABLE)
    with cli.make_context("attncert", arguments) as context:
        code: object = cli.invoke(context)
        return code if isinstance(code, int) else PROVED


def _usage_line(error: click.ClickException) -> str:
    line = error.format_message().rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        line += f" (see: {error.ctx.command_path} --help)"
    return line


def _fail(line: str) -> int:
    _say(f"error: {line}")
    return BAD_INPUT


def _say(line: str) -> None:
    """One line on stderr."""
    click.echo(f"attncert: {reports.one_line(line)}", err=True)


# --- arguments and options -------------------------------------------------------------------------------------------


def seconds(text: str) -> float:
    """Read a positive, finite number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise click.BadParameter(f"{text!r} is not a positive number of seconds")
    return number


def size(text: str) -> int:
    """Read an amount of memory."""
    from attncert.certificates.errors import InputError
    from attncert.size import parse_size

    try:
        return parse_size(text)
    except InputError as error:
        raise click.BadParameter(str(error)) from None


class StatementCommand(click.Command):
    """A command with a TARGET, which may begin with a minus sign."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, after hiding the minus sign of a target such as `-x**2` behind a blank."""
        options = [option for option in self.params if isinstance(option, click.Option)]
        valued = {name for option in options if not option.is_flag for name in option.opts}
        short = {name for option in options for name in option.opts if len(name) == 2}
        previous = ""
        for place, word in enumerate(args):
            if word == "--":
                break
            if previous not in valued and re.match(r"-[^-]", word) and word[:2] not in short:
                args[place] = f" {word}"
            previous = word
        return super().parse_args(ctx, args)


Decorator = Callable[[Callable[..., int]], Callable[..., int]]


def _together(*parts: Callable[[Any], Any]) -> Decorator:
    """One decorator for several options, which `--help` lists in this order."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        for part in reversed(parts):
            command = part(command)
        return command

    return decorate


def _examples(*lines: str) -> str:
    """An epilog that keeps its lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _strip(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    return None if value is None else value.strip()


_option = functools.partial(click.option, show_default=True)

_problem = _together(
    _option("--domain", metavar="BOX", required=True, help='Where: "[0,1]", "[0,1]^2", "[-1,1]x[0,2]"; exact ends.'),
    _option("--norm", metavar="inf|P", default="inf", help="Sup norm, or L_p with 1 <= P < inf."),
    _option("--attention", type=click.Choice(["self", "cross"]), default="self", help="The kind of head."),
    _option(
        "--where",
        metavar="CONDITION",
        multiple=True,
        help='Only points that satisfy it count, as in "x0**2 + x1**2 <= 1"; repeatable.',
    ),
    _option(
        "--shape",
        metavar="DxN",
        help="Shape of the input; its entries are then X[i,j], 0-based. DxN,DxN for K and Q of cross-attention.",
    ),
)

_weights = _together(
    _option(
        "--precision",
        type=click.IntRange(24, 100_000),
        default=106,
        metavar="BITS",
        help="Bits of the weights.",
    ),
    _option(
        "--dtype",
        type=click.Choice(["float64", "float32"]),
        help="Round every weight to that format first, and certify what was rounded.",
    ),
)

statement_options = _together(
    _problem,
    _option(
        "--tol",
        "tolerance",
        metavar="EPS",
        help="The error to certify, an exact number such as 0.05 or 1/20.",
    ),
    _option(
        "--method",
        metavar="NAME",
        default="auto",
        help="How to construct: uniform, affine, adaptive, spectral, or auto, the fewest tokens of all.",
    ),
    _option(
        "--max-value", metavar="X", help="With --method auto, affine or spectral: a bound on the values of the tokens."
    ),
    _weights,
    _option(
        "--apriori",
        is_flag=True,
        help="Use the parameters of the a-priori bound instead of searching for a smaller head.",
    ),
)

tradeoff_options = _together(_problem, _weights)

_budget = _option(
    "--budget", metavar="SECONDS", type=seconds, help="Stop after this many seconds; the verdict is then undecided."
)
_check = _option(
    "--check/--no-check",
    default=True,
    help="Let the kernel check the proof (the default); without, it is called verified, not proved.",
)
_jobs = _option(
    "--jobs",
    type=click.IntRange(1, 1024),
    default=1,
    metavar="N",
    help="Threads of the search for a paving.",
)
_proof = _option(
    "--proof",
    metavar="NAME",
    default="paving",
    help="How to prove an error in the sup norm: paving, regions (of sharp heads, the paper's way) or both.",
)
proof_options = _together(_budget, _jobs, _check)
proof_options_without_jobs = _together(_budget, _check)

memory_option = click.option(
    "--memory",
    type=size,
    metavar="SIZE",
    help="Most memory for the search, beside the head: 500MiB, 2GiB. It is undecided when that does not suffice.",
)

search_options = _together(
    memory_option,
    _option(
        "--journal/--no-journal",
        default=True,
        help="Record a search for a paving, once it has run for half a second, beside the output in OUTPUT.journal.",
    ),
)

output_options = _together(
    _option("--force", is_flag=True, help="Overwrite an existing output file."),
    _option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
)

output_file = _option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=DEFAULT_FILE,
    help="The certificate to write; compressed if it ends in .gz.",
)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="\b\nExit codes: 0 proved, 1 refuted or rejected, 2 bad input or usage, 3 undecided.",
)
@click.version_option(package_name="attncert", prog_name="attncert", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Approximation claims about softmax attention, checkable by machine."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(BAD_INPUT)


# --- the commands ----------------------------------------------------------------------------------------------------


@cli.command(
    cls=StatementCommand,
    epilog=_examples(
        'attncert certify "sin(2*pi*x)" --domain "[0,1]" --tol 0.05 -o sin.json',
        'attncert certify "sin(2*pi*x)" --domain "[0,1]" --tol 0.05 --proof regions -o sharp.json',
        'attncert certify "sin(2*pi*x)" --domain "[0,1]" --tokens 8 -o eight.json',
        'attncert certify "sign(x - 1/3)" --domain "[-1,1]" --tol 0.01 --norm 1 -o jump.json',
        'attncert certify --claim indicator --grid 8x8 --domain "[0,1]^2" --delta 0.001 --measure 0.1 -o cells.json',
        'attncert certify --claim partition --grid 8x8 --domain "[0,1]^2" -o regions.json',
        'attncert certify "x0*x1" --domain "[0,1]^2" --tol 1/10 -o product.json.gz --json',
    ),
)
@click.argument("target", required=False, callback=_strip)
@statement_options
@click.option(
    "--tokens",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="Instead of --tol: the smallest tolerance provable with N tokens.",
)
@_option("--claim", type=click.Choice(["error", "indicator", "partition"]), default="error", help="What to claim.")
@click.option("--grid", metavar="NxN", help="For indicator and partition: the cells along each side.")
@click.option("--delta", metavar="D", help="For --claim indicator: how far the softmax may be from one-hot.")
@click.option("--measure", metavar="MU", help="For --claim indicator: the measure of the set where it may be farther.")
@_proof
@proof_options
@search_options
@output_file
@output_options
def certify(output: Path, force: bool, as_json: bool, claim: str, journal: bool, **request: Any) -> int:
    """Construct a head for TARGET and prove its error; or, without TARGET, one for the cells of a grid: with --claim
    indicator its softmax is nearly their indicator, with --claim partition they are its regions, facet by facet.

    Writes a certificate when the claim is proved, or refuted; nothing when it is undecided. A search that was stopped
    (Ctrl-C, --budget, --memory, or a crash) is continued by `attncert verify OUTPUT --resume`.
    """
    request = _request_for(claim, request)
    _refuse_output(output, force)
    again = _command("verify", output, "--resume", *_proof_words(request), *["--force"] * output.exists())
    from attncert import api
    from attncert.verifier.journal import journal_path

    if claim == "error" and journal and request["tokens"] is None:
        request["journal"] = journal_path(output)
    with _progress_bar() as progress:
        makers: dict[str, Callable[..., Result]] = {
            "error": api.certify,
            "indicator": api.certify_indicator,
            "partition": api.certify_partition,
        }
        result = makers[claim](**request, progress=progress)
    return _conclude(result, output, force, as_json, again)


@cli.command(
    cls=StatementCommand,
    epilog=_examples('attncert construct "sin(2*pi*x)" --domain "[0,1]" --tol 0.05 -o weights.json'),
)
@click.argument("target", callback=_strip)
@statement_options
@output_file
@output_options
def construct(output: Path, force: bool, as_json: bool, **request: Any) -> int:
    """Construct a head for TARGET: the weights and the claim, without evidence."""
    _require_options(request, "error", "tolerance")
    _refuse_output(output, force)
    from attncert import api

    start = time.perf_counter()
    certificate = api.construct_head(**request)
    certificate.save(output, overwrite=force)
    spent = round(time.perf_counter() - start, 3)
    _tell(certificate, output, as_json, verdict=None, error_lower=None, error_upper=None, boxes=0, seconds=spent)
    return PROVED


@cli.command(
    epilog=_examples("attncert verify weights.json", "attncert verify weights.json -o proved.json --budget 60")
)
@click.argument("file", type=click.Path(path_type=Path))
@_proof
@proof_options
@search_options
@click.option("--resume", is_flag=True, help="Go on with the search in OUTPUT.journal; FILE may be missing then.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write; default: FILE itself.")
@output_options
def verify(
    file: Path, output: Path | None, force: bool, as_json: bool, journal: bool, resume: bool, **request: Any
) -> int:
    """Prove or refute the claim in FILE and add the evidence to it.

    FILE is left as it is when the claim is undecided. Of --proof both, what one of them proves is proved, and the other
    is said to be undecided; a proof and a refutation of the same claim end the command as a defect.

    A search that was stopped (Ctrl-C, --budget, --memory, or a crash) is continued by --resume to the same certificate,
    unless FILE is now about another head: then --force goes on with the one in the journal. Without --resume a journal
    that is there is replaced, once the new search has run for half a second.
    """
    if resume and not journal:
        raise click.UsageError("--resume needs the journal: drop --no-journal", click.get_current_context())
    elsewhere = () if output is None else ("-o", output)
    again = _command("verify", file, "--resume", *_proof_words(request), *elsewhere, *["--force"] * force)
    source, forced = file, force
    force = force or output is None
    output = file if output is None else output
    if not resume or file.exists():
        _require(file)
    _refuse_output(output, force)
    from attncert import api
    from attncert.verifier.journal import journal_path

    record = journal_path(output) if journal else None
    if resume and record is not None and (not source.exists() or (forced and source == output)):
        certificate = api.Certificate.from_journal(record)
    else:
        certificate = api.Certificate.load(source)
    with _progress_bar() as progress:
        result = api.verify(certificate, **request, journal=record, resume=resume, progress=progress)
    return _conclude(result, output, force, as_json, again)


@cli.command(epilog=_examples("attncert bound sin.json", "attncert bound sin.json --gap 1e-6 -o tight.json"))
@click.argument("file", type=click.Path(path_type=Path))
@_option("--gap", metavar="G", default="0.01", help="Relative gap to reach: upper <= (1 + G) lower.")
@proof_options
@memory_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a certificate that claims the upper end.")
@click.option("--witness", type=click.Path(path_type=Path), help="Write the refutation that proves the lower end.")
@output_options
def bound(file: Path, output: Path | None, witness: Path | None, force: bool, as_json: bool, **request: Any) -> int:
    """Enclose the true error of the head in FILE: a lower and an upper end, both proved.

    The tolerance that FILE claims plays no part, and evidence in it is not used. Nothing is written unless asked for.
    """
    _require(file)
    for path in (output, witness):
        if path is not None:
            _refuse_output(path, force)
    from attncert import api

    certificate = api.Certificate.load(file)
    with _progress_bar() as progress:
        result = api.bound(certificate, **request, progress=progress)
    for path, part in ((output, result.certificate), (witness, result.witness)):
        if path is not None and part is not None:
            part.save(path, overwrite=force)
        elif path is not None:
            _say(f"{path} was not written")
    written = None if output is None or result.certificate is None else str(output)
    _print_result(result, written, as_json)
    return EXIT_CODES[result.verdict]


@cli.command(
    epilog=_examples(
        "attncert audit claim.toml -o verdict.json",
        "attncert audit claim.toml --gap 1e-4 --tightest smallest.json --json",
    )
)
@click.argument("claim", metavar="CLAIM.toml", type=click.Path(path_type=Path))
@_option("--gap", metavar="G", default="0.01", help="Relative gap of the bracket: upper <= (1 + G) lower.")
@proof_options
@memory_option
@output_file
@click.option(
    "--tightest", type=click.Path(path_type=Path), help="Also write a certificate of the smallest tolerance proved."
)
@output_options
def audit(claim: Path, output: Path, tightest: Path | None, force: bool, as_json: bool, **request: Any) -> int:
    """Decide the claim in CLAIM.toml about the weights that it names: somebody's weights against somebody's bound.

    Proves the claim, or refutes it, and brackets the smallest tolerance that holds. The certificate is written in each
    case: a refutation is evidence too. Of an undecided claim it has none, and `attncert verify` can go on from it.

    Weights are .npz, .safetensors, .json or PyTorch files, read exactly and without running anything (docs/audit.md).
    """
    _require(claim)
    for path in (output, tightest):
        if path is not None:
            _refuse_output(path, force)
    from attncert.auditing import audit as decide

    with _progress_bar() as progress:
        found = decide(claim, **request, progress=progress)
    found.certificate.save(output, overwrite=force)
    if tightest is not None and found.tightest is not None:
        found.tightest.save(tightest, overwrite=force)
    elif tightest is not None:
        _say(f"{tightest} was not written: no tolerance is proved")
    click.echo(
        reports.dump(reports.audit_json(found, str(output))) if as_json else reports.audit_text(found, str(output))
    )
    return EXIT_CODES[found.verdict]


@cli.command(epilog=_examples("attncert fit sin.json -o fitted.json"))
@click.argument("file", type=click.Path(path_type=Path))
@_option("--gap", metavar="G", default="0.01", help="Relative gap of the enclosure whose upper end is claimed.")
@_weights
@proof_options
@memory_option
@output_file
@output_options
def fit(file: Path, output: Path, force: bool, as_json: bool, **request: Any) -> int:
    """Give the head in FILE the best values for its keys and biases, by a linear program, and certify its error.

    Says how far from the optimum that is: a lower bound on the error of all heads with these keys is proved by duality.
    The new certificate claims the error that is proved; the tolerance in FILE plays no part.
    """
    _require(file)
    _refuse_output(output, force)
    from attncert import api

    certificate = api.Certificate.load(file)
    with _progress_bar() as progress:
        result = api.fit(certificate, **request, progress=progress)
    return _conclude(result, output, force, as_json, "")


@cli.command(epilog=_examples("attncert regions sin.json -o regions.json"))
@click.argument("file", type=click.Path(path_type=Path))
@proof_options_without_jobs
@output_file
@output_options
def regions(file: Path, output: Path, force: bool, as_json: bool, **request: Any) -> int:
    """Compute the regions of the head in FILE, whatever it claims, and certify that they partition its domain.

    The new certificate declares, for each token that wins somewhere, the facets of its region and a ball around it.
    """
    _require(file)
    _refuse_output(output, force)
    from attncert import api

    certificate = api.Certificate.load(file)
    with _progress_bar() as progress:
        result = api.certify_regions(certificate, **request, progress=progress)
    return _conclude(result, output, force, as_json, "")


@cli.command(
    epilog=_examples(
        "attncert check sin.json",
        'attncert check certificates/ --jobs 2 --require-claim "error<=0.05" --junit report.xml',
        "attncert check certificates/ --write-lock certificates/lock.json",
        "attncert check certificates/ --against certificates/lock.json --sarif report.sarif",
    )
)
@click.argument("paths", metavar="FILE|DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes; few files are shared out.",
)
@click.option(
    "--require-claim",
    "requirements",
    metavar="CLAIM",
    multiple=True,
    help='Every file must prove it: "error<=0.05", "error>=0.01", "L2<=0.1", "measure<=0.1", "delta<=0.01", partition.',
)
@click.option(
    "--claim",
    "claims",
    metavar="CLAIM.toml",
    multiple=True,
    type=click.Path(path_type=Path),
    help="One of the files must prove this claim; repeatable.",
)
@click.option(
    "--against",
    metavar="LOCK",
    type=click.Path(path_type=Path),
    help="The files must be those in a lock file, with the same statements and verdicts.",
)
@click.option("--write-lock", metavar="LOCK", type=click.Path(path_type=Path), help="Write a lock file, if all passes.")
@click.option(
    "--limit",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Allow certificates more, or less, of something, such as nodes=100000000; repeatable (docs/trust.md).",
)
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write a report in JUnit XML.")
@click.option("--sarif", metavar="FILE", type=click.Path(path_type=Path), help="Write a report in SARIF 2.1.0.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each file on stdout.")
def check(
    paths: tuple[Path, ...],
    jobs: int,
    requirements: tuple[str, ...],
    claims: tuple[Path, ...],
    against: Path | None,
    write_lock: Path | None,
    settings: tuple[str, ...],
    junit: Path | None,
    sarif: Path | None,
    as_json: bool,
) -> int:
    """Let the kernel check certificates: the gate for continuous integration.

    Directories are searched for certificates named *.json and *.json.gz, hidden directories left out. A file there that
    cannot be read as JSON is rejected, not passed over. Fails when there is nothing to check, and when what is proved
    is not what was demanded.
    """
    from attncert import ci_reports, gate
    from attncert.limits import limits_of

    limits, demands = limits_of(settings), gate.Demands()
    if requirements or claims or against is not None:
        from attncert.demands import Lock, Requirement, UserClaim

        demands = gate.Demands(
            tuple(map(Requirement.parse, requirements)),
            tuple(map(UserClaim.load, claims)),
            None if against is None else Lock.load(against),
        )
    files = gate.certificates(paths)
    if not files:
        return _fail("no certificate found in " + ", ".join(map(str, paths)))
    outcomes = []
    try:
        for outcome in gate.check_files(files, demands, jobs, limits):
            outcomes.append(outcome)
            click.echo(reports.dump(reports.check_json(outcome)) if as_json else reports.check_text(outcome))
    except gate.GateError as error:
        return _fail(str(error))
    wrong = gate.verdicts(outcomes, demands, files)
    for line in wrong:
        _say(line)
    for path, report in ((junit, ci_reports.junit), (sarif, ci_reports.sarif)):
        if path is not None:
            path.write_text(report(outcomes, wrong), encoding="utf-8")
    if len(files) > 1 and not as_json:
        click.echo(reports.check_summary(outcomes))
    passed = not wrong and all(outcome["ok"] for outcome in outcomes)
    if write_lock is not None:
        _write_lock(write_lock, outcomes, wrong)
    if any(outcome["verdict"] == "error" for outcome in outcomes):
        return BAD_INPUT
    return PROVED if passed else NEGATIVE


@cli.command(epilog=_examples("attncert show sin.json", "attncert show regions.json --partition regions.svg"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--partition",
    "picture",
    type=click.Path(path_type=Path),
    metavar="PICTURE",
    help="Draw the regions that FILE declares, on a line or in the plane, to a .svg, .pdf or .png (needs matplotlib).",
)
@_option("--force", is_flag=True, help="Overwrite an existing picture.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def show(file: Path, picture: Path | None, force: bool, as_json: bool) -> int:
    """Tell what a certificate says. Nothing is checked but the digest of the statement."""
    _require(file)
    if picture is not None:
        _refuse_output(picture, force)
    from attncert import api

    certificate = api.Certificate.load(file)
    if picture is not None:
        from attncert.pictures import draw_partition

        draw_partition(certificate.statement, picture)
    _tell(certificate, file, as_json)
    return PROVED


@cli.command(
    epilog=_examples(
        "attncert export regions.json --to smt2 -o regions-smt2", "attncert export sin.json --to coq -o sin.v"
    )
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    type=click.Choice(["smt2", "coq"]),
    required=True,
    help="The format: SMT-LIB 2 scripts for a claim about regions, a Coq file for one about the sup norm.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="What to write, and not there yet: a folder for smt2, a file for coq.",
)
def export(file: Path, form: str, output: Path) -> int:
    """Write what FILE claims for other provers: scripts for SMT solvers, or a file for Coq.

    Of regions: one script for each obligation (argmax, cover, disjoint and radius), each query of which is `unsat` if
    the claim is true. The evidence plays no part.

    Of the sup norm: a file that Coq with CoqInterval accepts if the claim is true, or, for a certificate that refutes
    it, if it is false (docs/coq.md).
    """
    _require(file)
    if output.exists():
        raise click.ClickException(f"{output}: exists already")
    from attncert import api

    certificate = api.Certificate.load(file)
    if form == "coq":
        from attncert.coq import file_name_problem, theorem

        if problem := file_name_problem(output.name):
            raise click.ClickException(f"{output}: {problem}")
        text = theorem(certificate)
        output.write_text(text)
        click.echo(f"{output}: {len(text):,} characters; to check it: coqc {shlex.quote(str(output))}")
        return PROVED
    from attncert.smtlib import scripts

    written = scripts(certificate.statement)
    output.mkdir(parents=True)
    for name, text in written.items():
        (output / name).write_text(text)
        click.echo(f"{output / name}: {text.count('(check-sat)'):,} queries")
    return PROVED


def token_counts(text: str) -> list[int]:
    """Read numbers of tokens."""
    if not re.fullmatch(r"[1-9][0-9]{0,6}(,[1-9][0-9]{0,6})*", text):
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 4,8,16")
    return [int(number) for number in text.split(",")]


@cli.command(
    cls=StatementCommand,
    epilog=_examples(
        'attncert tradeoff "sin(2*pi*x)" --domain "[0,1]" --tokens-max 4 -o sine.md',
        'attncert tradeoff "abs(x-1/3)" --domain "[-1,1]" --tokens 3,6 --methods uniform -o kink.csv --plot kink.svg',
    ),
)
@click.argument("target", callback=_strip)
@tradeoff_options
@click.option("--methods", metavar="NAMES", help="Constructions, as in uniform,spectral; default: all for the norm.")
@_option("--tokens-max", type=click.IntRange(1, 1_000_000), default=32, metavar="N", help="Powers of 2 up to N, and N.")
@click.option("--tokens", type=token_counts, metavar="LIST", help="Instead: these numbers of tokens, as in 4,8,16.")
@_budget
@_jobs
@_check
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="tradeoff.csv",
    show_default=True,
    help="The table to write: a .csv, .md or .json.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="PICTURE",
    help="Draw it, both scales logarithmic, to a .svg, .pdf or .png (needs matplotlib).",
)
@_option("--force", is_flag=True, help="Overwrite existing output files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each row on stdout.")
def tradeoff(
    output: Path,
    plot: Path | None,
    force: bool,
    as_json: bool,
    methods: str | None,
    tokens_max: int,
    tokens: list[int] | None,
    **request: Any,
) -> int:
    """Tabulate the certified error of every construction against its number of tokens, for TARGET.

    Each row is a head of its own, whose smallest provable error is certified; --budget is for each of them. Beside it
    stands how many tokens the paper's bound takes a priori for that error.
    """
    from attncert import tradeoffs

    tradeoffs.require_suffix(output, tradeoffs.SUFFIXES, "a table")
    if plot is not None:
        tradeoffs.require_suffix(plot, tradeoffs.PICTURES, "a picture")
    for path in (output, plot):
        if path is not None:
            _refuse_output(path, force)
    request["methods"] = None if methods is None else [name.strip() for name in methods.split(",")]

    def tell(row: tradeoffs.Row) -> None:
        click.echo(reports.dump(row.entries()) if as_json else reports.tradeoff_text(row))

    with _progress_bar() as progress:
        table = tradeoffs.tradeoff(**request, tokens=tokens or tokens_max, progress=progress, each=tell)
    table.save(output, overwrite=force)
    if plot is not None:
        table.draw(plot)
    return PROVED if all(row.verdict in ("proved", "verified", "none") for row in table.rows) else UNDECIDED


@cli.command(epilog=_examples("attncert completion bash > ~/.attncert-complete.bash"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that completes commands and options in a shell."""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is None:
        raise click.ClickException(f"no completion for {shell}")
    click.echo(script(cli, {}, "attncert", COMPLETION_VARIABLE).source())
    return PROVED


_FLAGS = {"target": "TARGET", "tolerance": "--tol", "max_value": "--max-value"}
_ERROR_ONLY = ("target", "tolerance", "tokens", "norm", "attention", "shape", "method", "max_value", "proof")
_INDICATOR_ONLY = ("grid", "delta", "measure")
_PARTITION_NEVER = ("delta", "measure", "where", "precision", "apriori", "jobs", "memory")


def _request_for(claim: str, request: dict[str, Any]) -> dict[str, Any]:
    """The arguments that belong to the claim; raises a usage error for one that is missing or out of place."""
    needed, alien = {
        "error": (("target",) if request["tokens"] is not None else ("target", "tolerance"), _INDICATOR_ONLY),
        "indicator": (_INDICATOR_ONLY, _ERROR_ONLY),
        "partition": (("grid",), (*_ERROR_ONLY, *_PARTITION_NEVER)),
    }[claim]
    _require_options(request, claim, *needed)
    context = click.get_current_context()
    for name in alien:
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT and request[name] is not None:
            raise click.UsageError(f"{_FLAGS.get(name, f'--{name}')} does not go with --claim {claim}", context)
    return {name: value for name, value in request.items() if name not in alien}


def _require_options(request: dict[str, Any], claim: str, *names: str) -> None:
    """Raise a usage error unless all were given."""
    for name in names:
        if request[name] is None:
            flag = _FLAGS.get(name, f"--{name}")
            what = "argument" if name == "target" else "option"
            end = "" if claim == "error" else f" (needed for --claim {claim})"
            raise click.UsageError(f"Missing {what} '{flag}'{end}.", click.get_current_context())


# --- results and files -----------------------------------------------------------------------------------------------


def _proof_words(request: dict[str, Any]) -> list[str]:
    """The option that asks for the same proof again."""
    proof = request.get("proof", "paving")
    return [] if proof == "paving" else ["--proof", proof]


def _command(*words: str | Path) -> str:
    """A command line to be copied."""
    return shlex.join(["attncert", *map(str, words)])


def _conclude(result: Result, output: Path, force: bool, as_json: bool, again: str) -> int:
    """Write the certificate of a decided claim, print the result, and return its exit code.

    The journal is of no use then, and removed; else `again` is the command that goes on with it.
    """
    file = None
    if result.certificate is not None and result.verdict in ("proved", "verified", "refuted"):
        result.certificate.save(output, overwrite=force)
        file = str(output)
        if result.journal is not None:
            from attncert.verifier.journal import remove

            remove(result.journal)
    _print_result(result, file, as_json)
    if file is None:
        kept = "" if result.journal is None else f"; the search is kept in {result.journal}, go on with: {again}"
        _say(f"{result.verdict}: {output} was not written{kept}")
    return EXIT_CODES[result.verdict]


def _print_result(result: Result, file: str | None, as_json: bool) -> None:
    click.echo(reports.dump(reports.result_json(result, file)) if as_json else reports.result_text(result, file))


def _write_lock(path: Path, outcomes: list[dict[str, Any]], wrong: list[str]) -> None:
    """Lock what was found, refutations too, unless a file was not accepted, or is not what was demanded."""
    if wrong or not all(o["verdict"] in ("proved", "refuted") and not o.get("unmet") for o in outcomes):
        _say(f"{path} was not written")
        return
    from attncert.demands import Lock

    Lock.of(path, outcomes).save()


def _tell(certificate: Certificate, file: Path, as_json: bool, **found: object) -> None:
    """Print what a certificate says; `found` joins the JSON object."""
    if as_json:
        click.echo(reports.dump(found | reports.certificate_json(certificate, str(file))))
    else:
        click.echo(reports.certificate_text(certificate, str(file)))


def _require(file: Path) -> None:
    """Raise OSError unless the file can be opened."""
    with file.open("rb"):
        pass


def _refuse_output(path: Path, force: bool) -> None:
    """Raise a one-line error, before any work, unless a certificate can be written there."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise click.ClickException(f"{path}: not a regular file")
        if not force:
            raise click.ClickException(f"{path}: the file exists (--force overwrites it)")
    except FileNotFoundError:
        pass
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # permissions alone do not tell: a file system may be read-only
            pass
    except OSError as error:
        raise click.ClickException(f"{path}: cannot write there: {error.strerror}") from None


@contextmanager
def _progress_bar() -> Iterator[Callable[[Progress], None] | None]:
    """A bar on stderr that shows the proved part of the domain; none unless stderr is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    layout = "{percentage:5.1f}% proved |{bar}| {elapsed}{postfix}"
    with tqdm(total=1.0, file=sys.stderr, leave=False, miniters=0, bar_format=layout) as bar:

        def update(progress: Progress) -> None:
            bar.set_postfix_str(reports.progress_text(progress), refresh=False)
            bar.update(min(1.0, float(progress.fraction)) - bar.n)

        yield update
