"""Training goes on where it was, is judged only in worlds it has not seen, and exports what it learned."""

import dataclasses
import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tensordict import TensorDict

from lyra_sim.config.nav_training import NavTrainingConfig
from lyra_sim.core.errors import ConfigError, InputError
from robot_tasks.build import build_nav_of_soups
from robot_tasks.colliders import Soup
from robot_tasks.envs.baselines import oracle_action
from robot_tasks.envs.evaluate import run_quota
from robot_tasks.envs.pool import Pool
from robot_tasks.envs.rsl import RslNav
from robot_tasks.envs.vector import VectorNav
from robot_tasks.training.boxes import box_flat
from robot_tasks.training.contract import input_contract
from robot_tasks.training.division import divide, place_of, within
from robot_tasks.training.evaluate import quota
from robot_tasks.training.judge import judge
from robot_tasks.training.ppo import Training, read_log
from robot_tasks.training.session import Policy, read_policy, train
from robot_tasks.training.starts import with_starts
from robot_tasks.worlds import NavWorld, read_worlds
from tests.robot_tasks import rooms
from tests.robot_tasks.flats import cast

ROBOT = rooms.JETBOT
SIDE_M, WORLDS = 4.0, ("one", "two", "three")
TINY = NavTrainingConfig.model_validate(
    {"num_envs": 16, "num_steps_per_env": 8, "steps": 256, "checkpoint_s": 0.001, "starts": 20,
     "actor": {"rnn_type": "gru", "rnn_hidden_dim": 8, "hidden_dims": [16]}, "critic": {"hidden_dims": [16]}}
)  # fmt: skip


def crate_of(number: int) -> tuple[float, float, float, float]:
    return 2.6 + 0.3 * number, 0.8, 3.0 + 0.3 * number, 1.2


def soup_of(number: int) -> Soup:
    crate = crate_of(number)
    return rooms.soup(*rooms.Flat().boxes, ((*crate[:2], -0.05), (*crate[2:], 2.0)))


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """An output folder with two worlds to train on and one to test on."""
    folder = tmp_path_factory.mktemp("worlds")
    rows = []
    for number, name in enumerate(WORLDS):
        flat, crate = rooms.Flat(), crate_of(number)
        floor = rooms.floor_grid(*flat.size, holes=[*flat.rectangles, crate])
        build_nav_of_soups([soup_of(number)], folder / name, floor=floor, robots=[ROBOT], config=rooms.FEW, seed=number)
        source = {"provenance": {"place": f"place {name}", "digest": ""}}
        (folder / name / "report.json").write_text(json.dumps(source))
        split = "test" if name == "three" else "train"
        rows.append({"path": name, "robots": [ROBOT.name], "scale_sigma": 0.1, "split": split})
    (folder / "worlds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def policy(out, tmp_path_factory) -> Policy:
    folder = tmp_path_factory.mktemp("policy")
    return read_policy(train(out, ROBOT.name, TINY, folder, lambda _: None))


def changed(**fields) -> NavTrainingConfig:
    return NavTrainingConfig.model_validate({**TINY.model_dump(), **fields})


def test_a_killed_training_goes_on_from_its_checkpoint(out, tmp_path):
    class KilledError(Exception):
        pass

    def kill_late(line: str) -> None:
        if "steps/s" in line and len(read_log(tmp_path)) >= 1:
            raise KilledError

    with pytest.raises(KilledError):
        train(out, ROBOT.name, changed(steps=100_000), tmp_path, kill_late)
    before = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(
            '{"iter": 99, "steps": 1, "seconds": 1.0}\n{"iter": 100, "st'
        )  # a line past the checkpoint, a torn one
    told = []
    train(out, ROBOT.name, changed(steps=before["infos"]["steps"] + 256), tmp_path, told.append)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert after["iter"] == before["iter"] + 2
    assert after["infos"]["seconds"] > before["infos"]["seconds"]
    assert [line["iter"] for line in read_log(tmp_path)] == list(range(1, after["iter"] + 1))
    step = {k: v["step"] for k, v in after["optimizer_state_dict"]["state"].items()}
    each = TINY.ppo.num_learning_epochs * TINY.ppo.num_mini_batches
    assert set(map(float, step.values())) == {float(each * after["iter"])}  # the optimiser went on, too


def test_the_curriculum_goes_on_where_it_was(out, tmp_path):
    settings = changed(env={**TINY.env.model_dump(), "curriculum": {"bins": 4, "promote": 0.5, "window": 8}})

    def begin(steps: int) -> tuple[Training, Pool]:
        env = VectorNav(read_worlds(out, ROBOT), ROBOT, settings.env, TINY.num_envs, seed=0)
        return Training(RslNav(env), settings.model_copy(update={"steps": steps}), tmp_path), env.pool

    training, pool = begin(256)
    for level in (0, 1):
        pool.learn(np.flatnonzero(pool.bin == level)[:8], np.ones(8, bool))
    training.run(lambda _: None)
    assert pool.level >= 2  # more only if a policy that has learned nothing reached its goals
    training, again = begin(512)
    assert again.level == pool.level
    offered = again.draw(np.random.default_rng(0), None, 4000)
    assert set(again.bin[offered]) == set(range(pool.level + 1))
    training.run(lambda _: None)
    assert [line["curriculum_level"] >= 2 for line in read_log(tmp_path)] == [True] * 4


def test_a_training_does_not_go_on_with_other_settings_or_worlds(out, policy):
    folder = policy.folder
    with pytest.raises(ConfigError, match="num_envs"):
        train(out, ROBOT.name, changed(num_envs=8), folder, lambda _: None)
    with pytest.raises(ConfigError, match="worlds"):
        lists = {"train_worlds": ["one"], "test_worlds": ["three"]}
        train(out, ROBOT.name, changed(**lists), folder, lambda _: None)


def test_what_is_no_policy_is_refused(policy, tmp_path):
    with pytest.raises(InputError, match=r"training\.json"):
        read_policy(tmp_path)
    (tmp_path / "training.json").write_bytes((policy.folder / "training.json").read_bytes())
    whole = (policy.folder / "checkpoint.pt").read_bytes()
    for broken in (b"", whole[: len(whole) // 2], pickle.dumps(print, protocol=2)):
        (tmp_path / "checkpoint.pt").write_bytes(broken)
        with pytest.raises(InputError, match="nav train"):
            read_policy(tmp_path)


def test_rsl_rl_reads_the_checkpoint(out, policy):
    from rsl_rl.runners import OnPolicyRunner

    env = RslNav(VectorNav(read_worlds(out, ROBOT), ROBOT, TINY.env, 4, seed=0))
    runner = OnPolicyRunner(env, {**TINY.rsl_rl(), "save_interval": 1}, device="cpu")
    runner.load(str(policy.folder / "checkpoint.pt"))
    obs = env.get_observations()
    with torch.inference_mode():
        policy.actor.reset()
        assert torch.equal(runner.get_inference_policy()(obs), policy.actor(obs))


def test_worlds_that_were_trained_on_are_not_judged(out, policy, tmp_path):
    verdict, text = judge(out, [policy], tmp_path, lambda _: None, episodes=6, draws=100)
    assert all(scores.worlds == ("three",) for scores in verdict.unseen.values())
    assert set(verdict.unseen) == {"random", "greedy", "oracle", policy.folder.name}
    assert verdict.seen[policy.folder.name].worlds == ("one", "two")
    assert verdict.unseen["oracle"].success.all()
    assert "worst worlds: three" in text
    tree = json.loads((tmp_path / "eval.json").read_text())
    assert tree["unseen"]["oracle"]["success"]["mean"] == 1.0
    assert (tmp_path / "tracks.png").stat().st_size > 1000
    everything = Policy(**{**vars(policy), "places": ("place one", "place two", "place three")})
    with pytest.raises(InputError, match="all known"):  # the third place under another name
        judge(out, [everything], tmp_path, lambda _: None, episodes=1, draws=100)


def test_only_policies_of_one_task_are_compared(out, policy, tmp_path):
    def other(**fields) -> Policy:
        return dataclasses.replace(policy, folder=tmp_path / "other", config=changed(**fields))

    env = TINY.env.model_dump()
    for fields, said in (
        ({"geodesic_m": (1.0, 3.0)}, r"geodesic_m \(1\.0, 3\.0\) in other"),
        ({"env": {**env, "success_m": 0.5}}, r"env\.success_m 0\.5 in other"),
        ({"env": {**env, "decimation": 4, "body": "inscribed"}}, r"env\.decimation 4 .* env\.body inscribed"),
    ):
        with pytest.raises(ConfigError, match=said):
            judge(out, [policy, other(**fields)], tmp_path, lambda _: None, episodes=2, draws=100)
    learned = {"reward": {"time": -0.5}, "random": {}, "curriculum": {"bins": 2}, "reset_to": "same"}
    verdict, _ = judge(
        out, [policy, other(env={**env, **learned}, seed=5)], tmp_path, lambda _: None, episodes=2, draws=100
    )
    assert verdict.apart["other"]["success"].mean == 0.0  # the same network


def test_every_policy_drives_the_same_episodes_once(out, policy, tmp_path):
    verdict, _ = judge(out, [policy], tmp_path, lambda _: None, episodes=10, draws=100)
    with gzip.open(out / "three" / "nav" / ROBOT.name / "episodes.json.gz") as file:
        written = sorted(e["info"]["geodesic_distance"] for e in json.load(file)["episodes"])
    for scores in verdict.unseen.values():
        driven = np.sort(scores.geodesic_m[0])
        np.testing.assert_allclose(driven, written[:: len(written) // 10][:10], atol=1e-6)  # spread over all distances


def test_no_episode_counts_twice(out, policy, tmp_path):
    counts = [len(world.episodes) for world in read_worlds(out, ROBOT)]
    verdict, text = judge(out, [policy], tmp_path, lambda _: None, episodes=1000, draws=100)
    ours = policy.folder.name
    assert verdict.unseen[ours].success.shape == (1, counts[2])
    assert verdict.seen[ours].success.shape == (2, min(counts[:2]))  # the same number in both worlds
    assert f"{counts[2]} episodes each (not 1000" in text and f"{min(counts[:2])} episodes each (not 1000" in text
    assert json.loads((tmp_path / "eval.json").read_text())["episodes_asked"] == 1000
    worlds = [*within(read_worlds(out, ROBOT)[:1], (2.0, 3.0)), *read_worlds(out, ROBOT)[1:]]
    chosen = quota(worlds, 1000)
    assert [len(set(numbers)) for numbers in chosen] == [len(worlds[0].episodes)] * 3 and len(worlds[0].episodes) < 30
    assert [len(numbers) for numbers in quota(worlds, 3)] == [3, 3, 3]


def test_worlds_are_divided_by_split_share_or_lists_and_places_stay_whole(out):
    worlds = read_worlds(out, ROBOT)

    def names(division):
        return [w.name for w in division.train], [w.name for w in division.held_out]

    assert names(divide(worlds, TINY)) == (["one", "two"], ["three"])
    with pytest.raises(ConfigError, match="train-share"):
        divide(worlds[:2], TINY)
    train_names, test_names = names(divide(worlds, changed(train_share=0.4)))
    assert sorted(train_names + test_names) == sorted(WORLDS) and len(train_names) == 1
    lists = {"train_worlds": ["three"], "test_worlds": ["one"]}
    assert names(divide(worlds, changed(**lists))) == (["three"], ["one"])
    with pytest.raises(ConfigError, match="unheard"):
        divide(worlds, changed(**{**lists, "test_worlds": ["unheard"]}))
    twin = NavWorld(**{**vars(worlds[0]), "name": "twin"})
    with pytest.raises(ConfigError, match="place one"):
        divide([*worlds, twin], changed(train_worlds=["one"], test_worlds=["twin"]))
    for share in (0.2, 0.5, 0.8):
        sides = names(divide([*worlds, twin], changed(train_share=share)))
        assert ("one" in sides[0]) == ("twin" in sides[0])


def test_a_world_whose_place_is_not_known_is_refused(out, tmp_path):
    world = read_worlds(out, ROBOT)[0]
    assert place_of(world) == "place one"
    assert place_of(dataclasses.replace(world, folder=None)) == "one"
    copy, report = dataclasses.replace(world, folder=tmp_path), tmp_path / "report.json"
    whole = (out / "one" / "report.json").read_text()
    for text in (None, whole[:20], "[]", "{}", '{"provenance": {}}', '{"provenance": null}'):
        if text is not None:
            report.write_text(text)
        with pytest.raises(InputError, match=r"report\.json: expected .* place"):
            place_of(copy)
        with pytest.raises(InputError, match=r"report\.json"):
            divide([copy, *read_worlds(out, ROBOT)], changed(train_share=0.5))


def test_drawn_starts_are_where_the_robot_fits_and_as_far_as_they_say(out):
    world = read_worlds(out, ROBOT)[0]
    more = with_starts(world, ROBOT, 100, (1.0, 3.0), 0)
    table, old = more.episodes, len(world.episodes)
    np.testing.assert_array_equal(table.start[:old], world.episodes.start)
    assert len(table) > old + 80
    flat = rooms.Flat()
    assert flat.clearance(table.start[old:]).min() > np.hypot(*ROBOT.footprint_m) / 2
    assert table.geodesic_m[old:].min() >= 1.0 and table.geodesic_m[old:].max() <= 3.0
    straight = np.hypot(*(table.goal - table.start).T)[old:]
    assert (table.geodesic_m[old:] > straight - 0.02).all()
    same_room = (table.start[old:, 0] - 2) * (table.goal[old:, 0] - 2) > 0
    across = table.geodesic_m[old:][~same_room] / straight[~same_room]
    assert across.max() > 1.2 and np.median(table.geodesic_m[old:][same_room] / straight[same_room]) < 1.05
    env = VectorNav([more], ROBOT, TINY.env, 1, seed=0)
    found = run_quota(env, lambda _: oracle_action(env), np.arange(old, len(table)))
    assert found["success"].mean() > 0.98


def test_boxes_are_trained_on_beside_worlds_or_alone(out, tmp_path):
    for alone, own in ((False, ["one", "two"]), (True, [])):
        folder = tmp_path / str(alone)
        settings = changed(boxes=2, only_boxes=alone, steps=128)
        policy = read_policy(train(out, ROBOT.name, settings, folder, lambda _: None))
        assert list(policy.worlds) == [*own, "boxes-0", "boxes-1"]
        told = json.loads((folder / "policy.json").read_text())["trained"]
        assert told["steps"] == 128 and told["rule"].endswith("2 flats of boxes")
        assert ("split" in told["rule"]) != alone


def test_episodes_can_be_limited_to_a_range_of_distances(out):
    worlds = read_worlds(out, ROBOT)
    cut = within(worlds, (2.0, 3.0))
    assert [w.name for w in cut] == list(WORLDS)
    for whole, part in zip(worlds, cut, strict=True):
        far = whole.episodes.geodesic_m
        np.testing.assert_array_equal(part.episodes.geodesic_m, far[(far >= 2.0) & (far <= 3.0)])
        np.testing.assert_allclose(part.goals[part.episodes.goal_index], part.episodes.goal, atol=1e-9)
    with pytest.raises(ConfigError, match="geodesic_m"):
        within(worlds, (50.0, 60.0))


@pytest.mark.parametrize("rnn", ["gru", "lstm", "none"])
def test_exported_policies_act_as_the_trained_one(out, tmp_path, rnn):
    settings = changed(actor={**TINY.actor.model_dump(), "rnn_type": rnn})
    policy = read_policy(train(out, ROBOT.name, settings, tmp_path, lambda _: None))
    told = json.loads((tmp_path / "policy.json").read_text())
    session = onnxruntime.InferenceSession(str(tmp_path / "policy.onnx"), providers=["CPUExecutionProvider"])
    script = torch.jit.load(str(tmp_path / "policy.pt"))
    memory = {i["name"]: np.zeros(i["shape"], np.float32) for i in told["onnx"]["inputs"][1:]}
    assert len(memory) == {"gru": 1, "lstm": 2, "none": 0}[rnn]
    outputs = told["onnx"]["outputs"]
    policy.actor.reset()
    script.reset()
    rng = np.random.default_rng(0)
    for _ in range(30):
        obs = rng.normal(size=(1, told["observation_size"])).astype(np.float32)
        with torch.inference_mode():
            wanted = policy.actor(TensorDict({"policy": torch.from_numpy(obs)}, batch_size=[1])).numpy()
            scripted = script(torch.from_numpy(obs)).numpy()
        found = dict(zip(outputs, session.run(outputs, {"obs": obs, **memory}), strict=True))
        np.testing.assert_allclose(found["actions"], wanted, atol=1e-5)
        np.testing.assert_allclose(scripted, wanted, atol=1e-5)
        memory = {name: found[name.replace("in", "out")] for name in memory}


def test_an_observation_can_be_made_from_the_contract_alone(out, policy):
    told = json.loads((policy.folder / "policy.json").read_text())
    world = read_worlds(out, ROBOT)[0]
    settings = {**TINY.env.model_dump(), "random": {}}
    env = VectorNav([world], ROBOT, type(TINY.env).model_validate(settings), 1, seed=3)
    env.reset()
    numpy = {name: getattr(np, name) for name in dir(np) if not name.startswith("_")}
    for action in ([0.9, 0.3], [0.5, -1.4], [-0.3, 0.2], [1.0, 0.6]):
        seen = env.step(np.array([action]))[0]["policy"][0]
    x, y, yaw = env.state.pose[0]
    away = env.pool.goal[env.row[0]] - (x, y)
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    measured = {
        "lidar_m": cast(soup_of(0), ROBOT, [[x, y, yaw]])[0],
        "goal_m": turn @ away,
        "velocity": env.state.velocity[0, [0, 2]],
        "last_action": np.clip(action, -1, 1),
    }
    assert set(measured) == set(told["measurements"])
    rows = [np.atleast_1d(eval(row["formula"], numpy, measured)) for row in told["observation"]]
    assert [len(row) for row in rows] == [row["to"] - row["from"] for row in told["observation"]]
    made = np.concatenate(rows)
    np.testing.assert_allclose(made[64:], seen[64:], atol=1e-4)
    assert np.quantile(np.abs(made[:64] - seen[:64]), 0.95) < 1e-4  # one or two may graze an edge


@pytest.mark.parametrize("side_m_s", [0.0, 0.3])
def test_commands_of_the_contract_are_what_the_robot_drives(out, side_m_s):
    robot = ROBOT.model_copy(update={"drive": "omni" if side_m_s else "unicycle", "side_m_s": side_m_s})
    told = input_contract(robot, TINY.env)
    env = VectorNav(read_worlds(out, robot)[:1], robot, TINY.env, 1, seed=0)
    env.reset()
    env.noise.mirror[:] = 1
    assert told["observation_size"] == env.sizes["policy"]
    axes = [0, 1, 2] if side_m_s else [0, 2]
    for forward, left, turn in ([-0.03, 0.02, 0.0], [0.02, -0.01, 0.7], [0.03, 0.0, -2.0]):
        action = np.array([forward, left, turn])[axes]
        for _ in range(8):
            env.step(action[None])
        numpy = {"clip": np.clip, "action": action}
        wanted = [eval(row["formula"], numpy) for row in told["command"]]
        assert told["command_order"] == [row["name"] for row in told["command"]]
        np.testing.assert_allclose(env.state.velocity[0, axes], wanted, atol=1e-5)


def test_a_box_flat_is_walls_and_floor_without_gaps():
    soup, floor = box_flat(5)
    assert isinstance(soup, Soup) and len(soup.triangles) % 12 == 0
    again, _ = box_flat(5)
    np.testing.assert_array_equal(soup.triangles, again.triangles)
    low, high = soup.triangles.min((0, 1)), soup.triangles.max((0, 1))
    np.testing.assert_allclose([low[0], high[0]], [-0.1, 10.1])
    assert 0.6 < (floor.state > 0).mean() < 0.98
