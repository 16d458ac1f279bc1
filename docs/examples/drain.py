#!/usr/bin/env python3
"""Lists what Fairway serves, and drains a service for as long as Enter is not pressed.

    drain.py [--admin URL] [--token-file FILE] [SERVICE]

It needs nothing but Python and the OpenAPI document that Fairway serves: paths,
methods, parameters and required fields are read from there.
"""
import argparse
import json
import os
import urllib.error
import urllib.parse
import urllib.request


class API:
    """Calls operations by their operationId."""

    def __init__(self, base, token):
        self.base, self.token = base.rstrip("/"), token
        self.document = self.send("GET", "/v1/openapi.json")
        self.operations = {}
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                self.operations[operation["operationId"]] = (method.upper(), path, operation)

    def send(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method)
        if self.token:
            request.add_header("Authorization", "Bearer " + self.token)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def schema(self, ref):
        return self.document["components"]["schemas"][ref.rpartition("/")[2]]

    def call(self, operation_id, body=None, **parameters):
        method, path, operation = self.operations[operation_id]
        query = {}
        for p in operation.get("parameters", []):
            value = parameters.pop(p["name"], None)
            if value is None:
                if p["required"]:
                    raise TypeError(f"{operation_id} needs {p['name']}")
            elif p["in"] == "path":
                path = path.replace("{%s}" % p["name"], urllib.parse.quote(value, safe=""))
            else:
                query[p["name"]] = str(value).lower() if isinstance(value, bool) else value
        if parameters:
            raise TypeError(f"{operation_id} knows no {', '.join(parameters)}")
        if body is not None:
            content = operation["requestBody"]["content"]["application/json"]
            schema = self.schema(content["schema"]["$ref"])
            unknown = set(body) - set(schema["properties"])
            missing = set(schema.get("required", [])) - set(body)
            if unknown or missing:
                raise TypeError(f"{operation_id}: unknown {unknown}, missing {missing}")
        return self.send(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--admin", default="http://127.0.0.1:8080")
    parser.add_argument("--token-file", default="/var/lib/fairway/admin-token")
    parser.add_argument("service", nargs="?")
    options = parser.parse_args()
    token = ""
    if os.access(options.token_file, os.R_OK):
        with open(options.token_file, encoding="ascii") as file:
            token = file.read().strip()
    api = API(options.admin, token)
    try:
        for route in api.call("getRoutes", live=True, service=options.service)["items"]:
            ready = sum(1 for e in route["endpoints"] if e["state"] == "ready")
            hosts = ", ".join(match["host"] + match["path"] for match in route["matches"])
            print(f"{route['id']}: {hosts}, {ready} of {len(route['endpoints'])} endpoints ready")
        if options.service:
            given = api.call("postCommands", {"kind": "drain", "subject": options.service, "message": "by drain.py"})
            command = given["command"]
            print(f"{command['text']}, by {command['operator']}")
            try:
                input("Enter ends it ")
            finally:
                api.call("deleteCommandsById", id=command["id"], message="by drain.py")
    except urllib.error.HTTPError as error:
        raise SystemExit(json.load(error)["detail"]) from None


if __name__ == "__main__":
    main()
