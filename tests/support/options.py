"""Every option of the parts, each with a family that accepts it: (family, its parameters beside tiny())."""

from typing import Any

PLAIN: dict[str, Any] = {"norm": "none"}


def penalty(name: str, **values: Any) -> tuple[str, dict[str, Any]]:
    return "dcgan", {"discriminator": PLAIN, "penalties": {name: values}}


def path_length(**values: Any) -> tuple[str, dict[str, Any]]:
    return "dcgan", {"generator": PLAIN, "penalties": {"path_length": {"every": 2} | values}}


def in_stabilisers(name: str, value: Any) -> tuple[str, dict[str, Any]]:
    return "dcgan", {"stabilisers": {name: value}}


def in_views(name: str, **more: Any) -> dict[str, Any]:
    return {"discriminator": PLAIN | {"count": 2, "view": name, "minibatch": "discrimination"}} | more


OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"loss {name}": ("dcgan", {"loss": name}) for name in ("minimax", "logistic", "least_squares", "relativistic")},
    "r1 lazy": penalty("r1", every=2),
    "r2": penalty("r2"),
    "r1 falling": penalty("r1", final_weight=1.0),
    "gradient penalty with drift": penalty("gradient_penalty", drift=1e-3),
    "dragan": penalty("dragan", every=2),
    "orthogonal": penalty("orthogonal"),
    "orthogonal of the discriminator": penalty("orthogonal", of="discriminator", every=2),
    "generator's batch of two": ("sngan", {"generator": {"batch_multiple": 2}, "conditioning": "projection"}),
    "consistency": penalty("consistency"),
    "lecam": penalty("lecam"),
    "path length": path_length(weight=0.1),
    "path length with attention": (
        "wgan_gp",
        {"attention": 8, "generator": PLAIN, "penalties": {"path_length": {"every": 1, "share": 1.0, "decay": 0.5}}},
    ),
    "label smoothing": in_stabilisers("label_smoothing", 0.9),
    "feature matching": in_stabilisers("feature_matching", {}),
    "historical averaging": in_stabilisers("historical_averaging", {"weight": 0.01}),
    "instance noise": in_stabilisers("instance_noise", {"until": 0.5}),
    "diffaugment": ("dcgan", {"augment": {"diffaugment": {}, "flips": True}}),
    "ada with r1": (
        "dcgan",
        {
            "discriminator": PLAIN,
            "penalties": {"r1": {}},
            "augment": {"ada": {"initial": 0.7, "ramp": 100, "every": 2}},
        },
    ),
    "three discriminators": ("dcgan", {"discriminator": {"count": 3, "norm": "none"}, "penalties": {"r1": {}}}),
    **{
        name: ("dcgan", {"discriminator": {"count": 2, "view": name}, "attention": 8})
        for name in ("scales", "projections")
    },
    **{
        f"{name} with penalties": ("dcgan", in_views(name, penalties={"r1": {}, "gradient_penalty": {"every": 2}}))
        for name in ("scales", "projections")
    },
    "scales of classes": ("sngan", in_views("scales", conditioning="auxiliary")),
    "minibatch stddev": ("dcgan", {"discriminator": {"minibatch": "stddev"}}),
    "minibatch discrimination": ("dcgan", {"discriminator": {"minibatch": "discrimination"}}),
    "attention with a penalty": ("wgan_gp", {"attention": 8}),
    **{
        f"norm {name}": ("dcgan", {"discriminator": {"norm": name}})
        for name in ("instance", "layer", "pixel", "spectral")
    },
    "spectral norm in both": ("dcgan", {"discriminator": {"norm": "spectral"}, "generator": {"norm": "spectral"}}),
    **{f"cgan {how}": ("cgan", {"conditioning": how}) for how in ("auxiliary", "concat")},
    **{f"{name} projection": (name, {"conditioning": "projection"}) for name in ("gan", "wgan_gp", "sngan", "r3gan")},
    "uniform latents": ("dcgan", {"latent": {"dim": 16, "distribution": "uniform"}}),
    "sgd": ("gan", {"generator": {"optimizer": "sgd", "lr": 0.01, "schedule": "linear", "final_lr": 1e-3}}),
    "growing": ("dcgan", {"growing": {"start": 8, "until": 0.6, "fade": 0.8}}),
    "growing with attention and a penalty": ("wgan_gp", {"growing": {"until": 0.75, "fade": 1.0}, "attention": 8}),
    "betas that move": ("dcgan", {"generator": {"final_betas": [0.0, 0.99]}}),
}


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    nested = {key: merged(base[key], value) for key, value in more.items() if isinstance(base.get(key), dict)}
    return base | more | nested
