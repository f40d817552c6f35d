"""The configuration of the web framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, cast, get_args, get_origin

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi.spec import Reference, Schema
from litestar.params import KwargDefinition, ParameterKwarg
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from cockade.errors import CockadeError
from cockade.http import errors
from cockade.http.envelope import Envelope
from cockade.http.request import ApiRequest, JsonBodySchema

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.openapi import OpenAPIConfig
    from litestar.types import ControllerRouterHandler, LifespanHook


class EnvelopeSchema(OpenAPISchemaPlugin):
    """Names the OpenAPI component of `Envelope[JobPage]` `JobPageEnvelope`, without module paths."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Whether this is an envelope without a component name."""
        definition = field_definition.kwarg_definition
        is_named = isinstance(definition, KwargDefinition) and definition.schema_component_key is not None
        return get_origin(field_definition.annotation) is Envelope and not is_named

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """Return a reference to the named component."""
        [data] = get_args(field_definition.annotation)
        kinds = get_args(data) if get_origin(data) in (UnionType, Union) else (data,)
        name = "Or".join(kind.__name__ for kind in kinds) + "Envelope"
        named = Annotated[field_definition.annotation, ParameterKwarg(schema_component_key=name)]
        reference = schema_creator.for_field_definition(FieldDefinition.from_annotation(named))
        if isinstance(reference, Reference):
            schema_creator.schema_registry.from_reference(reference).schema.title = name
        return cast("Schema", reference)


def create_litestar(
    *,
    route_handlers: Sequence[ControllerRouterHandler],
    dependencies: Mapping[str, object],
    state: Mapping[str, object],
    openapi_config: OpenAPIConfig,
    max_body_bytes: int,
    on_startup: LifespanHook,
    on_shutdown: LifespanHook,
) -> Litestar:
    """Create an app that passes `dependencies` to route handlers by name and reports all errors in the envelope."""
    return Litestar(
        route_handlers=route_handlers,
        dependencies={name: _provide(value) for name, value in dependencies.items()},
        state=State(dict(state)),
        openapi_config=openapi_config,
        on_startup=[on_startup],
        on_shutdown=[on_shutdown],
        request_class=ApiRequest,
        request_max_body_size=max_body_bytes,
        exception_handlers={
            CockadeError: errors.on_domain_error,
            HTTPException: errors.on_http_error,
            Exception: errors.on_unexpected,
        },
        plugins=[EnvelopeSchema(), JsonBodySchema()],
        type_decoders=[(_is_own_type, _unchanged)],
        logging_config=None,
        pdb_on_exception=False,
        debug=False,
    )


def _provide(value: object) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


def _is_own_type(target: Any) -> bool:
    """Whether the framework must pass the value to handlers without conversion, as for services and bodies."""
    return getattr(target, "__module__", "").startswith("cockade.")


def _unchanged(_: Any, value: Any) -> Any:
    return value
