"""A training config as SLEAP 1.3 and 1.4 write it, for the skeleton of the demo's labels."""

from typing import Any

_NODES = ("head", "thorax", "abdomen")


def _node(name: str) -> dict[str, Any]:
    return {"py/object": "sleap.skeleton.Node", "py/state": {"py/tuple": [name, 1.0]}}


def _edge(source: Any, target: Any, number: int, kind: Any) -> dict[str, Any]:
    return {"edge_insert_idx": number, "key": 0, "source": source, "target": target, "type": kind}


def _skeleton() -> dict[str, Any]:
    edge = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]}
    # what was written once is referred to by its number, 1 and 2 being the first edge's nodes and 3 its type
    links = [_edge(_node("head"), _node("thorax"), 0, edge), _edge({"py/id": 2}, _node("abdomen"), 1, {"py/id": 3})]
    return {
        "directed": True,
        "graph": {"name": "Skeleton-0", "num_edges_inserted": 2},
        "links": links,
        "multigraph": True,
        "nodes": [{"id": {"py/id": number}} for number in (1, 2, 4)],
    }


def _data(labels: str | None) -> dict[str, Any]:
    return {
        "labels": {
            "training_labels": labels, "validation_labels": None, "validation_fraction": 0.2, "test_labels": None,
            "split_by_inds": False, "training_inds": None, "validation_inds": None, "test_inds": None,
            "search_path_hints": [], "skeletons": [_skeleton()],
        },
        "preprocessing": {
            "ensure_rgb": False, "ensure_grayscale": False, "imagenet_mode": None, "input_scaling": 0.5,
            "pad_to_stride": None, "resize_and_pad_to_target": True, "target_height": None, "target_width": None,
        },
        "instance_cropping": {"center_on_part": None, "crop_size": None, "crop_size_detection_padding": 16},
    }  # fmt: skip


def _augmentation() -> dict[str, Any]:
    return {
        "rotate": True, "rotation_min_angle": -15.0, "rotation_max_angle": 15.0, "translate": False,
        "translate_min": -5, "translate_max": 5, "scale": False, "scale_min": 0.9, "scale_max": 1.1,
        "uniform_noise": False, "uniform_noise_min_val": 0.0, "uniform_noise_max_val": 10.0, "gaussian_noise": False,
        "gaussian_noise_mean": 5.0, "gaussian_noise_stddev": 1.0, "contrast": False, "contrast_min_gamma": 0.5,
        "contrast_max_gamma": 2.0, "brightness": False, "brightness_min_val": 0.0, "brightness_max_val": 10.0,
        "random_crop": False, "random_crop_height": 256, "random_crop_width": 256, "random_flip": False,
        "flip_horizontal": True,
    }  # fmt: skip


def _optimization() -> dict[str, Any]:
    return {
        "preload_data": True, "augmentation_config": _augmentation(), "online_shuffling": True,
        "shuffle_buffer_size": 128, "prefetch": True, "batch_size": 2, "batches_per_epoch": 5,
        "min_batches_per_epoch": 5, "val_batches_per_epoch": None, "min_val_batches_per_epoch": 2, "epochs": 3,
        "optimizer": "adam", "initial_learning_rate": 0.0005,
        "learning_rate_schedule": {
            "reduce_on_plateau": True, "reduction_factor": 0.5, "plateau_min_delta": 1e-06, "plateau_patience": 5,
            "plateau_cooldown": 3, "min_learning_rate": 1e-08,
        },
        "hard_keypoint_mining": {
            "online_mining": False, "hard_to_easy_ratio": 2.0, "min_hard_keypoints": 2, "max_hard_keypoints": None,
            "loss_scale": 5.0,
        },
        "early_stopping": {"stop_training_on_plateau": True, "plateau_min_delta": 1e-06, "plateau_patience": 10},
    }  # fmt: skip


def _outputs(run_name: str) -> dict[str, Any]:
    return {
        "save_outputs": True, "run_name": run_name, "run_name_prefix": "", "run_name_suffix": ".n=30",
        "runs_folder": "/home/alice/models", "tags": [""], "save_visualizations": False, "keep_viz_images": False,
        "zip_outputs": False, "log_to_csv": True,
        "checkpointing": {
            "initial_model": False, "best_model": True, "every_epoch": False, "latest_model": False,
            "final_model": False,
        },
        "tensorboard": {
            "write_logs": False, "loss_frequency": "epoch", "architecture_graph": False, "profile_graph": False,
            "visualizations": True,
        },
        "zmq": {
            "subscribe_to_controller": True, "controller_address": "tcp://127.0.0.1:9000",
            "controller_polling_timeout": 10, "publish_updates": True, "publish_address": "tcp://127.0.0.1:9001",
        },
    }  # fmt: skip


def old_config(head: str = "single_instance", *, run_name: str = "old", labels: str | None = None) -> dict[str, Any]:
    """The config of one model with a small UNet."""
    confmaps: dict[str, Any] = {"sigma": 2.5, "output_stride": 2, "loss_weight": 1.0, "offset_refinement": False}
    confmaps |= {"anchor_part": None} if head == "centroid" else {"part_names": list(_NODES)}
    unet = {
        "stem_stride": None, "max_stride": 8, "output_stride": 2, "filters": 8, "filters_rate": 1.5,
        "middle_block": True, "up_interpolate": True, "stacks": 1,
    }  # fmt: skip
    heads = ("single_instance", "centroid", "centered_instance", "multi_instance", "multi_class_bottomup")
    return {
        "data": _data(labels),
        "model": {
            "backbone": dict.fromkeys(("leap", "hourglass", "resnet", "pretrained_encoder")) | {"unet": unet},
            "heads": dict.fromkeys(heads) | {head: confmaps},
            "base_checkpoint": None,
        },
        "optimization": _optimization(),
        "outputs": _outputs(run_name),
        "name": "",
        "description": "",
        "sleap_version": "1.3.4",
        "filename": f"{head}.json",
    }
