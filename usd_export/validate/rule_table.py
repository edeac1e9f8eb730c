"""The rules for scene files, the one table: identifier, severity, why it matters, how to mend it. Identifiers never
change their meaning; a rule that goes leaves its number unused. What a rule looks at lies in `*_rules.py`."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
Scope = Literal["any", "ours"]


@dataclass(frozen=True)
class Rule:
    """One thing that must be true of a scene."""

    id: str
    severity: Severity
    wrong: str
    """What is wrong, in general."""
    why: str
    mend: str
    issues: tuple[str, ...] = ()
    """Public issues that come from it, as `Repository#number`."""
    fixed: bool = False
    """`--fix` mends it, wherever that is mechanical."""
    scope: Scope = "any"
    """`ours`: asked only of scenes that lyra-sim wrote."""


@dataclass(frozen=True)
class Finding:
    """A rule that one place of a scene breaks."""

    rule: Rule
    path: str
    """Prim, property or file; `/` for the scene as a whole."""
    what: str
    """What is wrong there, one sentence."""


def finding(rule: str, path: object, what: str) -> Finding:
    """A finding under the identifier `LYRA-<rule>`."""
    return Finding(BY_ID[f"LYRA-{rule}"], str(path), what)


_OURS: Scope = "ours"
_FALLS = ("IsaacLab#3780", "IsaacLab#2922")

RULES: tuple[Rule, ...] = (
    # OpenUSD's own validators
    Rule("LYRA-USD-001", "error", "a validator of OpenUSD reports an error",
         "Readers differ in what they do with a file that breaks the format's rules.",
         "Follow the validator's message."),
    Rule("LYRA-USD-002", "warning", "a validator of OpenUSD warns",
         "It works here, and may not in another reader.", "Follow the validator's message."),
    Rule("LYRA-USD-003", "error", "a material is bound without MaterialBindingAPI",
         "Strict readers ignore such a binding, the friction of a collider with it.",
         "Apply MaterialBindingAPI to the prim.", fixed=True),
    # units and frame
    Rule("LYRA-UNIT-001", "error", "the up axis is not authored as Z",
         "Isaac Lab references a scene without turning it: it comes to lie on its side.",
         "Turn the scene and author upAxis Z.", ("IsaacLab#674",), fixed=True),
    Rule("LYRA-UNIT-002", "error", "metersPerUnit is not authored as 1",
         "Engines keep raw units; a terrain in centimetres vanishes or is a hundred times too large.",
         "Scale the scene and author metersPerUnit 1.", ("IsaacLab#3846", "IsaacLab#5112"), fixed=True),
    Rule("LYRA-UNIT-003", "error", "kilogramsPerUnit is not authored as 1",
         "Masses and densities mean something else in each engine.",
         "Author kilogramsPerUnit 1, masses and densities in kilograms.", fixed=True),
    Rule("LYRA-UNIT-004", "warning", "the scene is smaller than 0.2 m or larger than 2 km",
         "A forgotten unit conversion looks like this.", "Compare a door with 2 m.", ("IsaacLab#5112",)),
    # the stage
    Rule("LYRA-STG-001", "error", "there is no defaultPrim",
         "Simulators add a scene by reference, and a reference without a target brings nothing.",
         "Set defaultPrim to the one root Xform.", fixed=True),
    Rule("LYRA-STG-002", "error", "the defaultPrim is no Xform",
         "It cannot be placed where it is referenced.", "Make it an Xform.", fixed=True),
    Rule("LYRA-STG-003", "error", "the stage has not exactly one PhysicsScene",
         "With none there is no stated gravity, with two it is ambiguous.", "Keep one PhysicsScene.", scope=_OURS),
    Rule("LYRA-STG-004", "error", "the stage has no light",
         "Cameras see black.", "Add a DomeLight.", scope=_OURS),
    Rule("LYRA-STG-005", "error", "the stage adds a collider to the asset",
         "Who references the asset does not get it.", "Move the collider into the asset.", scope=_OURS),
    Rule("LYRA-STG-006", "info", "there is no PhysicsScene",
         "Right for an asset that is referenced; opened by itself, nothing falls in some simulators.",
         "Add a PhysicsScene to the stage that you open.", ("IsaacSim#572",)),
    # asset paths and layers
    Rule("LYRA-PATH-001", "error", "an asset path is absolute or a web address",
         "On another machine it leads nowhere.", "Make it relative to its layer.", fixed=True),
    Rule("LYRA-PATH-002", "error", "an asset path leaves the folder of the scene",
         "It breaks when the folder is moved or packed.", "Move the file into the folder.", fixed=True),
    Rule("LYRA-PATH-003", "error", "an asset path leads nowhere",
         "Geometry or texture is missing, often without a word.", "Restore the file or remove the path."),
    Rule("LYRA-LAY-001", "error", "a text layer holds a large array",
         "Slow to open and several times as large; NVIDIA's validator refuses it.",
         "Save the layer as usdc.", fixed=True),
    # colliders
    Rule("LYRA-COL-001", "error", "there is no collider",
         "Robots fall through everything that is seen.",
         "Give the meshes CollisionAPI and MeshCollisionAPI, in the file itself, not only in a viewer.",
         ("IsaacLab#3780",), fixed=True),
    Rule("LYRA-COL-002", "error", "CollisionAPI lies on a prim without a shape",
         "Engines take colliders from shapes; on a parent it does nothing, and robots fall through.",
         "Apply CollisionAPI to the shapes below.", ("IsaacLab#2922",), fixed=True),
    Rule("LYRA-COL-003", "error", "a collider lies outside the defaultPrim",
         "It is lost whenever the scene is referenced: collision works where it was made, and nowhere else.",
         "Move it under the defaultPrim.", ("IsaacLab#5112",)),
    Rule("LYRA-COL-004", "error", "a mesh collider states no approximation",
         "Importers and engines then choose, and not the same: triangles, or a hull that closes the doors.",
         "Author physics:approximation, `none` for static scenery.", ("IsaacLab#4077",), fixed=True),
    Rule("LYRA-COL-005", "error", "a mesh collider has an unknown approximation",
         "Engines fall back to one of their own.", "Use one of UsdPhysics.", ("IsaacLab#4077",)),
    Rule("LYRA-COL-006", "error", "a collider has points that are not finite",
         "It cannot be cooked; some engines crash.", "Remove the points."),
    Rule("LYRA-COL-007", "error", "a hull has more than 64 points",
         "PhysX on a GPU cuts it down.", "Decimate the hull or split it."),
    Rule("LYRA-COL-008", "error", "a hull is flat",
         "PhysX thickens it by centimetres: robots hover.", "Use triangles (`none`), or a slab.", fixed=True),
    Rule("LYRA-COL-009", "error", "a collider has no physics material",
         "Each engine assumes a friction of its own.", "Bind a material with MaterialAPI.", fixed=True),
    Rule("LYRA-COL-010", "error", "a collider's physics material states no friction",
         "The schema's value is 0: wheels spin on ice.", "Author static and dynamic friction.", fixed=True),
    Rule("LYRA-COL-011", "warning", "a collider is switched off",
         "It is passed through, whatever else is right about it.",
         "Set physics:collisionEnabled to true, or remove CollisionAPI.", _FALLS),
    # what moves
    Rule("LYRA-PHY-001", "error", "a part of the scenery moves",
         "A body without a joint falls out of the scene, and training copies its cost to every environment.",
         "Remove RigidBodyAPI or the joint, or load the object beside the scene."),
    Rule("LYRA-PHY-002", "error", "a moving body collides with its triangles",
         "Engines have no moving triangle meshes: they take a hull, or leave the collider out.",
         "Remove RigidBodyAPI from scenery; give what must move convex parts.", ("IsaacSim#572",)),
    # meshes
    Rule("LYRA-MSH-001", "error", "a mesh is empty", "Some readers refuse the file.", "Remove the mesh."),
    Rule("LYRA-MSH-002", "error", "a mesh has points that are not finite",
         "Bounds become infinite; renderers and engines fail.", "Remove the points."),
    Rule("LYRA-MSH-003", "error", "face counts do not fit the indices",
         "The faces cannot be read.", "Write the mesh again."),
    Rule("LYRA-MSH-004", "error", "indices lie outside the points",
         "Readers crash or draw rubbish.", "Write the mesh again."),
    Rule("LYRA-MSH-005", "error", "a mesh has no extent",
         "Bounds must be computed from all points at every opening.", "Author the extent.", fixed=True),
    Rule("LYRA-MSH-006", "error", "an extent is wrong",
         "What lies outside it is culled, or the map becomes too large.", "Author the extent.", fixed=True),
    Rule("LYRA-MSH-007", "error", "a mesh has no normals",
         "It is shaded differently everywhere.", "Author normals.", scope=_OURS),
    Rule("LYRA-MSH-008", "error", "faces are wound against their normals",
         "One-sided colliders and renderers see the wrong side.", "Turn the faces or the normals."),
    Rule("LYRA-MSH-009", "error", "a mesh is a subdivision surface",
         "Its corners are rounded where it is drawn, not where it collides.", "Set subdivisionScheme none.",
         scope=_OURS),
    Rule("LYRA-MSH-010", "error", "a mesh has points that no face uses",
         "Hulls and bounds include them.", "Remove the points.", scope=_OURS),
    Rule("LYRA-MSH-011", "error", "a visible mesh has no semantic label",
         "Segmentation of the training images lacks it.", "Apply UsdSemantics.LabelsAPI.", scope=_OURS),
    Rule("LYRA-MSH-012", "error", "a sky mesh encloses the scene",
         "Occupancy maps cover the bounds of the scene, which the sky blows up.",
         "Use a DomeLight, or take the mesh out of the default purpose.", ("MobilityGen#14",), fixed=True),
    # splats
    Rule("LYRA-SPL-001", "error", "there are splats and no collider",
         "Splats are looks only: nothing of the scene can be touched.",
         "Add a collision mesh in the frame of the splats.", ("3dgrut#100",)),
    Rule("LYRA-SPL-002", "error", "splats and colliders do not lie in the same place",
         "Robots touch what cannot be seen; the mesh was made in another frame or scale than the splats.",
         "Bring the collision mesh into the frame of the splats.", ("IsaacSim#119",)),
    # packages
    Rule("LYRA-PKG-001", "error", "a usdz package holds a camera",
         "With it, Isaac Sim 5.1 draws nothing of a splat package.", "Take cameras out.",
         ("3dgrut#262",), fixed=True),
    Rule("LYRA-PKG-002", "warning", "a usdz package keeps the folders it was made in",
         "It tells names of folders of another machine, and relative paths may leave the package.",
         "Pack with the root layer at the top.", ("OpenUSD#2469",), fixed=True),
    # assets of ours
    Rule("LYRA-AST-001", "error", "the defaultPrim is no component",
         "Tools that select models do not find it.", "Set kind to component.", scope=_OURS),
    Rule("LYRA-AST-002", "error", "the asset holds a PhysicsScene",
         "It would govern every stage it is referenced into.", "Move it into stage.usda.", scope=_OURS),
    Rule("LYRA-AST-003", "error", "the asset holds a camera",
         "It would be in every stage it is referenced into.", "Move it into stage.usda.", ("3dgrut#262",),
         scope=_OURS),
    Rule("LYRA-AST-004", "error", "the asset holds a light",
         "Two assets in one stage light each other twice.", "Move it into stage.usda.", scope=_OURS),
)  # fmt: skip
BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}
assert len(BY_ID) == len(RULES)


def table_markdown() -> str:
    """The rules that anybody's scene is asked, as the table of the README."""
    lines = ["| identifier | severity | what is wrong | why it matters | from | `--fix` |", "|---|---|---|---|---|---|"]
    for rule in RULES:
        if rule.scope == "any":
            cells = (f"`{rule.id}`", rule.severity, rule.wrong, rule.why, ", ".join(rule.issues), "yes" * rule.fixed)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
