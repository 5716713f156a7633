"""What each code of a problem stands for, in words for somebody who meets it the first time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Explained:
    """A code in words."""

    title: str
    help: str


def explained(code: str) -> Explained:
    """Explain a code; one that is not listed stands for itself."""
    listed = PROBLEM_CODES.get(code)
    if listed is None:
        title = code.replace("_", " ").capitalize()
        return Explained(title, "The message says what is wrong and how to mend it.")
    return Explained(*listed)


_QUOTE: Final = "Put the value in quotes when text is meant."
_APPEND: Final = "Books are appended and never edited, so that what a call cost stays explained."

PROBLEM_CODES: Final[dict[str, tuple[str, str]]] = {
    # Files
    "missing": (
        "A file or folder is missing",
        "Nothing can be decided without the contract, the registry and the Rego.",
    ),
    "file_unreadable": (
        "A file cannot be read",
        "Policy files are UTF-8 text of at most 16 MiB, and no links that lead nowhere.",
    ),
    "yaml_syntax": ("Not YAML", "The parser stopped here; the fault may lie just above."),
    "yaml_ambiguous": (
        "A value that YAML readers read differently",
        f"One reader takes it for text and another for a number, a date or true. {_QUOTE}",
    ),
    "stray_data": (
        "Data that only an OPA server would read",
        (
            "An OPA server takes every data.yaml and data.json below the folder for policy data,"
            " the embedded engine only those that are documented; they would decide differently."
        ),
    ),
    "schema": (
        "Not what the schema expects",
        (
            "A key that is not known here, a part that is missing, or a value of another type. The"
            " schemas lie in policies/schemas; editors can read them too."
        ),
    ),
    "schema_invalid": ("A schema that is none", "The file under schemas/ is not a JSON Schema."),
    "data_unfit": (
        "Data that the gate cannot use",
        "Every rule is kept and the gate still cannot read it; please report this.",
    ),
    "stray_plan": (
        "A rollout plan that nobody reads",
        "Only rollout/plan.yaml is read; under another name there is no plan, and no gate.",
    ),
    # Rego and what it is compiled to
    "rego_invalid": (
        "Rego that OPA refuses",
        "OPA's strict mode, with the schemas of input and data; so is the message.",
    ),
    "rego_not_portable": (
        "A builtin that not every engine has",
        (
            "The policy also runs compiled to WebAssembly; schemas/portable-capabilities.json lists"
            " the builtins that every engine has. Clocks, networks and randomness are left out on"
            " purpose: a decision is a function of its input."
        ),
    ),
    "rego_unformatted": ("Rego in another form", "Run `opa fmt -w` on the folder."),
    "policy_not_compiled": (
        "policy.wasm does not belong to the Rego",
        "The embedded engine runs policy.wasm. Run `tallygate policy build` and commit both files.",
    ),
    "case_invalid": ("A case that cannot be read", "A case is input.json and decision.json."),
    "case_differs": (
        "A case is decided otherwise",
        (
            "The policy does not answer the question of the case as decision.json says. Change the"
            " policy, or the case when the new decision is meant."
        ),
    ),
    # Names and references
    "unknown_reference": (
        "A name that does not exist",
        "Every name in the data must stand in the registry, the contract or a fixed list.",
    ),
    "retired_reference": ("A name that is retired", "The value is refused from its retired_at on."),
    "value_malformed": (
        "A value that its own pattern refuses",
        "What the registry fills in has to match the field's pattern in the contract.",
    ),
    "retired_owner": (
        "A live service of a retired team",
        (
            "Every call that names the team is ownership_retired. Give the service to another team,"
            " or retire it."
        ),
    ),
    "owner_retires": (
        "A service that outlives its team",
        "From the team's end on every call that names it is ownership_retired.",
    ),
    "retired_before_start": (
        "Retired before it began",
        "The value ends before its first entry begins, so no call ever counts for it.",
    ),
    "no_cost_center_yet": (
        "A team without a cost center today",
        "Its first entry begins later; until then its calls are booked on no cost center.",
    ),
    "model_in_two_groups": ("A model in two groups", "The policy sees one group for each model."),
    "reserved_name": ("A name that is taken", "The policy uses this name for something else."),
    "alias_taken": (
        "One name for two fields",
        "A header, baggage key or metadata key may stand for one field only.",
    ),
    "no_vocabulary": ("A vocabulary without values", "No value of the field is ever known."),
    "principal_without_service": (
        "A principal that may speak for no service",
        "Whatever service its calls name is a conflict or unknown.",
    ),
    "no_quarantine_owner": ("A quarantine that nobody owns", "Quarantined calls need a payer."),
    "unknown_mode": ("Not a mode", "A mode that cannot be read counts as enforce."),
    "unknown_kind": ("Not a kind of field", "The policy proves no value of such a field."),
    "nothing_required": ("No field is required", "A call that proves nothing is not admitted."),
    "bad_pattern": (
        "A pattern that cannot be used",
        "Patterns are read by Python and by RE2, which has no lookaround and no backreference.",
    ),
    "open_pattern": ("A pattern for a part of the value", "Put ^ before and $ after it."),
    "pattern_admits_person": (
        "A pattern that lets personal data in",
        "E-mail addresses and people's names must not pass: values go to ledgers and reports.",
    ),
    # Dates
    "bad_instant": (
        "Not an instant",
        'Instants are quoted UTC text, "2026-12-31T00:00:00Z", of a day that the calendar has.',
    ),
    "dates_out_of_order": (
        "Dates out of order",
        "Dated entries stand in the order of their dates.",
    ),
    "schedule_step_dead": (
        "A step that never decides",
        (
            "Of two steps with one date the strict one wins; a share of 0 covers no call; a step"
            " after the end of its service never begins."
        ),
    ),
    # Overrides
    "id_taken": ("One id for two overrides", "Events carry the id, so it names one override."),
    "never_waived": ("A code that is never waived", "A conflict would let one team bill another."),
    "override_never": ("An override that never holds", "It ends before it starts."),
    "override_too_long": ("An override that holds too long", "The contract bounds its days."),
    "credential_header": (
        "A field that would take a credential",
        "What a field holds stands on events for ever; keys and cookies must not.",
    ),
    "canary_unused": (
        "A canary that shares nothing",
        "A canary is a share of the calls that are enforced; nothing is enforced there.",
    ),
    "override_expired": ("An expired override", "It excuses nothing any more."),
    "no_override_limit": (
        "Overrides without a longest term",
        "Put `overrides: {max_days: 90}` into the contract, so that none can be forgotten.",
    ),
    "override_unused_field": (
        "An override on a field that no violation concerns",
        "The service is never asked for the field, or no code of the override can occur on it.",
    ),
    "override_unused_code": (
        "An override of a code that cannot occur",
        "None of its fields can be violated in this way.",
    ),
    "override_excuses_everything": (
        "An override that excuses everything",
        (
            "No call of the service can be refused for what it says or leaves out. Report-only says"
            " that openly; an override names what is really missing."
        ),
    ),
    "override_overlaps": (
        "Two overrides of one thing",
        "Both excuse the same violation at the same time, so ending one of them ends nothing.",
    ),
    "break_glass_expired": (
        "An expired entry of break-glass",
        "Nobody can activate it any more. Ask for a new one, or remove it.",
    ),
    "break_glass_too_long": (
        "An activation that could be too long",
        "The contract bounds the hours of one activation.",
    ),
    "role_without_holders": (
        "A role that nobody holds",
        "Name its LiteLLM teams or keys under `holders` in roles/data.yaml.",
    ),
    "self_approved": ("Approved by who asked", "Requester and approver are two people."),
    "holder_unknown": (
        "A role's holder that may be misspelt",
        "Who holds a role is compared with LiteLLM's team ids only when it is needed.",
    ),
    "not_an_approver": ("Approved by somebody who may not", "roles/data.yaml lists who may."),
    # The rollout plan
    "on_two_stages": (
        "A service on two stages",
        "A service is on one stage; `tallygate rollout promote` moves it.",
    ),
    "gate_out_of_reach": (
        "A gate that no service can pass",
        "The stage is shorter than the days that its gate asks for.",
    ),
    "observed_too_briefly": (
        "Too few days of observation",
        "A fortnight shows two weekly rhythms before anything is enforced.",
    ),
    "review_not_asked": ("No weekly review", "Enforcement is held to a review each week."),
    "review_to_come": ("A review that is still to come", "Only a review that was held counts."),
    "unknown_role": ("A role that nobody holds", "roles/data.yaml lists the roles."),
    # Against the base revision
    "id_removed": (
        "An id that is gone",
        "Ids are never deleted: reports of last year still name them. Give it `retired_at`.",
    ),
    "id_reused": ("A retired id that lives again", "Old reports would name another thing by it."),
    "team_id_reused": (
        "A team id for another team",
        "What the old team spent would be read as the new team's. Use a new id.",
    ),
    "history_rewritten": (
        "History that was edited",
        "A dated entry that has begun, or an end that has passed, already stands on events.",
    ),
    "retired_in_the_past": (
        "Retired before anybody knew",
        "Calls that were right when they were made would be retired by this date.",
    ),
    "rates_edited": ("A price list that was edited", _APPEND),
    "override_extended": (
        "An override that was extended without a new approval",
        "A later expires_at is a new permission: it needs a ticket or an approval of its own.",
    ),
    "override_widened": (
        "An override that was widened without a new approval",
        "More codes, fields or environments are a new permission.",
    ),
    "contract_changed_silently": (
        "A contract that changed and does not say so",
        "Whoever sends calls has to know of a new contract. Raise `version` in it.",
    ),
    # Price lists
    "rule_book_edited": ("A published price list was edited", _APPEND),
    "rule_book_gone": ("A published price list is gone", _APPEND),
    "rule_book_unpinned": ("A price list that is not pinned", "Pin it in rates/published.yaml."),
    "rule_book_pins": ("Pins that cannot be read", "published.yaml maps versions to digests."),
    "rule_book_gap": ("A price list with a gap", "Exactly one row must match each call."),
    "rule_book_overlap": ("Rows that overlap", "Exactly one row must match each call."),
    "rule_books_overlap": ("Price lists that overlap", "One list is in force at a time."),
    "rule_book_twice": ("One version in two files", "A version names one price list."),
    "rule_book_name": ("A price list under another name", "The file is named as its version."),
    "rule_book_supersedes": ("Supersedes nothing", "The list that it names cannot be read."),
    "rule_book_shape": ("Not the shape of a price list", "See schemas/rule_book.json."),
    "rule_book_inherit": ("Inherits from nothing", "Name a list of the same file."),
    "rule_book_context": ("Context lengths that do not fit", "They cover every length once."),
    "rule_book_axis": ("Not an axis or its value", "Rows differ on axes that the list names."),
    "rule_book_row": ("A row that is not one price", "It has prices, or is not sold."),
    "rule_book_uplift": ("An uplift that cannot be used", "It is a factor on listed meters."),
    "rule_book_pattern": ("A model pattern that cannot be used", "Patterns read ^...$."),
    "rule_book_model_twice": ("A model that is listed twice", "One entry prices a model."),
    "rule_book_example": ("An example that does not add up", "Prices or example are wrong."),
    "rule_book_instant": ("Not an instant", 'Write "2026-11-01T00:00:00Z", quoted.'),
    "rule_book_number": ("Not a decimal", "Prices are quoted decimals."),
    "rule_book_period": ("A period that ends before it begins", "Put the dates in order."),
}
