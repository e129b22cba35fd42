"""What ``sleap-rtc train`` takes: the user's own words for what to train, in groups that `training_request` reads."""

import click

_MAX_DEVICES = 64

PACKAGE = (
    click.option("-p", "--pkg-path", metavar="PATH", help="A training package: SLEAP's exported zip, or a folder."),
    click.option(
        "-c",
        "--config-name",
        "config_names",
        multiple=True,
        metavar="NAME",
        help="A config by its name, with or without suffix. Once for each model.",
    ),
    click.option(
        "-d",
        "--config-dir",
        metavar="FOLDER",
        help="Where the configs of -c are.  [default: the current folder, then the package]",
    ),
    click.option("--config", "configs", multiple=True, metavar="PATH", help="A config by its path."),
    click.option("--labels", multiple=True, metavar="FILE", help="Labels to train on (.slp). Once for each file."),
    click.option("--val-labels", multiple=True, metavar="FILE", help="Labels to validate on, likewise."),
)
"""The files."""

PRESET = (
    click.option(
        "--preset", metavar="HEAD", help="Train without a config: sleap-nn's preset for a head, such as bottomup."
    ),
    click.option("--backbone", metavar="NAME", help="The preset's backbone, such as unet_medium_rf."),
    click.option(
        "--augment", metavar="NAME,…", help="The preset's augmentations, such as uniform_noise,rotation,scale."
    ),
)
"""A training without a config."""

SHORT = (
    click.option("--max-epochs", type=click.IntRange(min=1), metavar="N", help="Short for trainer_config.max_epochs."),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        metavar="N",
        help="The batch_size of both of sleap-nn's data loaders.",
    ),
    click.option(
        "--lr",
        type=click.FloatRange(min=0, min_open=True),
        metavar="RATE",
        help="Short for trainer_config.optimizer.lr.",
    ),
    click.option("--run-name", metavar="NAME", help="Short for trainer_config.run_name."),
    click.option("--seed", type=int, metavar="N", help="Short for trainer_config.seed."),
    click.option("--save-last", is_flag=True, help="Keep the last checkpoint, as the worker does anyway."),
)
"""Short words for keys of the config."""

STARTS = (
    click.option(
        "--from",
        "start_from",
        metavar="MODEL",
        help="Begin with this model's weights, backbone and head: its folder or best.ckpt here, or a model of the room "
        "(fly, fly@3, fly@production, or the id of the job that trained it).",
    ),
    click.option("--backbone-weights", metavar="FILE", help="Begin with the backbone's weights of a .ckpt or .h5."),
    click.option("--head-weights", metavar="FILE", help="Begin with the head's weights of a .ckpt or .h5."),
    click.option("--resume", metavar="CKPT", help="Go on where this checkpoint was, optimizer and epoch included."),
)
"""What to start from."""

DEVICES = (
    click.option("--devices", type=click.IntRange(1, _MAX_DEVICES), metavar="N", help="Train on N GPUs of the worker."),
    click.option("--strategy", metavar="NAME", help="How several GPUs work together, such as ddp."),
)
"""How many GPUs, and how."""

WANDB = (
    click.option(
        "--wandb",
        is_flag=True,
        help="Report to Weights & Biases, with the key in WANDB_API_KEY, or asked for on a terminal.",
    ),
)
"""Who else is told."""

REGISTER = (
    click.option(
        "--register",
        "register_as",
        metavar="NAME",
        help="Give the model this name in its room when it is ready: it becomes NAME@1, NAME@2 …",
    ),
)
"""What the room calls what comes of it."""

ARGUMENTS = (click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[CONFIG]... [KEY=VALUE]..."),)
"""What is typed without an option: configs first, as sleap-nn takes one, then overrides."""

WHAT_TO_TRAIN = (*PACKAGE, *PRESET, *SHORT, *STARTS, *DEVICES, *WANDB, *REGISTER, *ARGUMENTS)
