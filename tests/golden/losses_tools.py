"""Small formulas that the generators of golden losses share, one scalar at a time."""

import torch

from common import write

CLEARANCE = 1e-3  # of cosines, distances and m theta / pi from the nearest kink or tie


class Unfit(Exception):
    """A case that lies too near a kink or a tie, or does not show what it is there for."""


def clear_of(value, boundary):
    if abs(torch.as_tensor(value).item() - boundary) < CLEARANCE:
        raise Unfit
    return value


def largest(values):
    """The largest of a list of scalars, which no other value may come near."""
    values = torch.stack(values)
    if len(values) > 1:
        first, second = values.topk(2).values
        clear_of(first - second, 0.0)
    return values.max()


def smallest(values):
    return -largest([-value for value in values])


def cosine(a, b):
    return (a @ b) / (a.norm() * b.norm())


def distance(a, b):
    """Distance of the two points after each is brought to the unit sphere, in [0, 2]."""
    return (a / a.norm() - b / b.norm()).norm()


def cross_entropy(target, others):
    """-log( e^target / (e^target + sum e^others) ) of scalars."""
    return torch.logsumexp(torch.stack([target, *others]), 0) - target


def log1p_exp(z):
    """log(1 + e^z) of a scalar."""
    return torch.logaddexp(z, torch.zeros_like(z))


def stacked(values):
    """The mean of a list of scalars, and the list as a tensor."""
    values = torch.stack(values)
    return values.mean(), values


def parse(spec):
    """`name:key=value,key=value` as the name and a dictionary of numbers, booleans and words."""
    name, _, rest = spec.partition(":")
    parameters = {}
    for pair in filter(None, rest.split(",")):
        key, value = pair.split("=")
        # `t` is what the tensors are called in the formulas.
        key = "t_" if key == "t" else key
        try:
            parameters[key] = float(value)
        except ValueError:
            parameters[key] = {"true": True, "false": False}.get(value, value)
    return name, parameters


def cases(specs, draw, evaluate, check):
    """Every case as (key, spec, name, parameters, inputs, f64 results), each from its first seed without trouble."""
    count = {}
    for spec in specs:
        name, parameters = parse(spec)
        key = f"{name}/{count.setdefault(name, 0)}"
        count[name] += 1
        for seed in range(10_000):
            inputs = draw(name, parameters, key, seed)
            try:
                wide = evaluate(name, parameters, inputs, torch.float64)
                check(wide)
            except Unfit:
                continue
            yield key, spec, name, parameters, inputs, wide, seed
            break
        else:
            raise SystemExit(f"{key} {spec}: no seed without kinks")


def write_cases(file, specs, draw, evaluate, check):
    """Evaluates every case in f32 and f64 and writes `file`_f32 and `file`_f64."""
    files = {torch.float32: {}, torch.float64: {}}
    about = []
    for key, spec, name, parameters, inputs, wide, seed in cases(specs, draw, evaluate, check):
        narrow = evaluate(name, parameters, inputs, torch.float32)
        for dtype, out in [(torch.float32, narrow), (torch.float64, wide)]:
            files[dtype] |= {f"{key}/{tensor}": value for tensor, value in out.items()}
        about.append({"key": key, "spec": spec})
        error = max(
            ((narrow[tensor] - value).abs().max() / value.abs().max().clamp(min=1e-30)).item()
            for tensor, value in wide.items()
            if tensor == "loss" or tensor.startswith("grad")
        )
        print(
            f"{key:20} {spec:64} seed {seed:4}  loss {wide['loss']:9.5f}"
            f"  |grad x| {wide['grad_embeddings'].norm():9.3e}  f32 against f64 {error:.0e}"
        )
    write(f"{file}_f32.safetensors", files[torch.float32], cases=about)
    write(f"{file}_f64.safetensors", files[torch.float64], cases=about)
