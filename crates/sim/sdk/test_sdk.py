#!/usr/bin/env python3
"""Drives a running simulator with the vendor's Python library.

    python3 crates/sim/sdk/test_sdk.py http://127.0.0.1:PORT

A second opinion on the simulator: the library builds the URLs and parses the answers, and nothing here was written for
our client. Plain HTTP only. Prints one line per check and ends with a non-zero status at the first that fails.
"""

import asyncio
import json
import sys
import urllib.parse
import urllib.request
import uuid

from kiota_abstractions.authentication import AccessTokenProvider, AllowedHostsValidator
from kiota_abstractions.authentication.base_bearer_token_authentication_provider import (
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.models.choice_column import ChoiceColumn
from msgraph.generated.models.column_definition import ColumnDefinition
from msgraph.generated.models.field_value_set import FieldValueSet
from msgraph.generated.models.list_ import List_
from msgraph.generated.models.list_info import ListInfo
from msgraph.generated.models.list_item import ListItem
from msgraph.generated.models.number_column import NumberColumn
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.text_column import TextColumn
from msgraph.generated.sites.item.lists.item.items.items_request_builder import ItemsRequestBuilder
from msgraph.generated.sites.item.lists.item.items.item.list_item_item_request_builder import (
    ListItemItemRequestBuilder,
)

TENANT = "contoso.onmicrosoft.com"
CLIENT_ID = "11111111-2222-4333-8444-555555555502"
CLIENT_SECRET = "simulated-secret"


def post(url, body, content_type):
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type}, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


class Token(AccessTokenProvider):
    """Client credentials at the simulator's own token endpoint."""

    def __init__(self, root):
        self.root = root
        self.hosts = AllowedHostsValidator([urllib.parse.urlsplit(root).hostname])

    async def get_authorization_token(self, uri, additional_authentication_context=None):
        form = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "scope": "https://graph.microsoft.com/.default",
        }
        url = f"{self.root}/{TENANT}/oauth2/v2.0/token"
        return post(url, urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded")["access_token"]

    def get_allowed_hosts_validator(self):
        return self.hosts


def check(what, passed, detail=""):
    print(("ok    " if passed else "FAILED"), what, "" if passed else detail, flush=True)
    if not passed:
        sys.exit(1)


def item(**values):
    return ListItem(fields=FieldValueSet(additional_data=values))


async def refused(operation, status, code):
    """The refusal of an operation, parsed by the library."""
    try:
        await operation
    except ODataError as error:
        found = (error.response_status_code, error.error.code)
        check(f"{status} {code}", found == (status, code), found)
        check("its inner error has the request id", bool(error.error.inner_error.request_id))
        return
    check(f"{status} {code}", False, "nothing was raised")


def with_query(builder, **options):
    return RequestConfiguration(query_parameters=builder(**options))


async def metadata(client):
    site = await client.sites.by_site_id("contoso.sharepoint.com:/sites/projects").get()
    check("a site by path", site.display_name == "Projects" and site.id.count(",") == 2, site.id)
    lists = client.sites.by_site_id(site.id).lists
    made = await lists.post(
        List_(
            display_name=f"SDK {uuid.uuid4().hex[:8]}",
            list_=ListInfo(template="genericList"),
            columns=[
                ColumnDefinition(name="Amount", number=NumberColumn()),
                ColumnDefinition(name="Status", choice=ChoiceColumn(choices=["Active", "Closed"]), indexed=True),
            ],
        )
    )
    check("a list is created", uuid.UUID(made.id) is not None and made.list_.template == "genericList")
    this = lists.by_list_id(made.id)
    key = ColumnDefinition(name="SynclineKey", text=TextColumn(), indexed=True, enforce_unique_values=True)
    key = await this.columns.post(key)
    check("a unique column is created", key.enforce_unique_values and key.text.max_length == 255)
    columns = {column.name: column for column in (await this.columns.get()).value}
    check("columns keep their types", columns["Status"].choice.choices == ["Active", "Closed"])
    check("built-in columns are read-only", columns["Created"].read_only and columns["Created"].date_time is not None)
    return this


async def items(this):
    made = await this.items.post(item(Title="O'Brien", SynclineKey="k1", Amount=12.5, Status="Active"))
    check("an item is created", made.id == "1" and made.e_tag.endswith(',1"'), made.e_tag)
    check("its author is the application", made.created_by.application.id == CLIENT_ID)
    query = with_query(
        ListItemItemRequestBuilder.ListItemItemRequestBuilderGetQueryParameters,
        expand=["fields($select=Title,Amount)"],
    )
    read = await this.items.by_list_item_id("1").get(query)
    fields = read.fields.additional_data
    check("fields are read", (fields["Title"], fields["Amount"]) == ("O'Brien", 12.5), fields)
    check("unselected fields are absent", "Status" not in fields, fields)
    match = RequestConfiguration()
    match.headers.add("If-Match", made.e_tag)
    patch = FieldValueSet(additional_data={"Amount": 13})
    changed = await this.items.by_list_item_id("1").fields.patch(patch, match)
    check("fields are changed under If-Match", changed.additional_data["Amount"] == 13)
    await refused(this.items.by_list_item_id("1").fields.patch(patch, match), 412, "resourceModified")
    await refused(this.items.post(item(SynclineKey="K1")), 400, "invalidRequest")
    await refused(this.items.post(item(Nope=1)), 400, "invalidRequest")
    await refused(this.items.by_list_item_id("99").get(), 404, "itemNotFound")


async def pages(this):
    for number in range(2, 8):
        await this.items.post(item(Title=f"T{number}", SynclineKey=f"k{number}", Status="Closed"))
    query = ItemsRequestBuilder.ItemsRequestBuilderGetQueryParameters
    found = await this.items.get(with_query(query, filter="fields/SynclineKey eq 'k3'", expand=["fields"]))
    check("a filter on an indexed column", [i.fields.additional_data["Title"] for i in found.value] == ["T3"])
    await refused(this.items.get(with_query(query, filter="fields/Title eq 'T3'")), 400, "invalidRequest")
    page = await this.items.get(with_query(query, top=3, select=["id"]))
    seen = [i.id for i in page.value]
    while page.odata_next_link:
        page = await this.items.with_url(page.odata_next_link).get()
        seen += [i.id for i in page.value]
    check("pages by nextLink", seen == [str(n) for n in range(1, 8)], seen)


async def delta(this):
    page = await this.items.delta.get()
    check("delta shows every item", len(page.value) == 7 and page.odata_delta_link is not None)
    await this.items.by_list_item_id("7").delete()
    await this.items.by_list_item_id("1").fields.patch(FieldValueSet(additional_data={"Amount": 1}))
    page = await this.items.delta.with_url(page.odata_delta_link).get()
    changes = {i.id: i.deleted.state if i.deleted else "changed" for i in page.value}
    check("delta shows what changed", changes == {"7": "deleted", "1": "changed"}, changes)
    page = await this.items.delta_with_token("latest").get()
    check("delta of the latest token is empty", page.value == [] and page.odata_delta_link is not None)


async def throttling(root, this):
    rule = {
        "match": {"kind": "create"},
        "when": {"count": 1},
        "what": {"kind": "throttle", "retry_after": "1"},
    }
    post(f"{root}/_sim/faults", json.dumps(rule).encode(), "application/json")
    made = await this.items.post(item(Title="after a 429", SynclineKey="k429"))
    check("the library waits out a 429 and repeats", made.id == "8", made.id)


async def main(root):
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Token(root)))
    adapter.base_url = f"{root}/v1.0"
    client = GraphServiceClient(request_adapter=adapter)
    this = await metadata(client)
    await items(this)
    await pages(this)
    await delta(this)
    await throttling(root, this)
    print("all checks passed")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: test_sdk.py URL")
    asyncio.run(main(sys.argv[1].rstrip("/")))
