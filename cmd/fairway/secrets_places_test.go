package main

// The services of the test, with a secret (CAN-…) in every place where people put
// one. OPEN-… stands where a value is shown by rule: the name beside it has no word
// of a credential. $BACKEND is the address of a service; of what is in {…|…} the
// second half counts after the change.
const secretServices = `services:
  - name: shop
    labels:
      fairway.host: shop.example
      fairway.headers.request.set.Authorization: "Bearer CAN-01-{request-set|changed}"
      fairway.headers.request.set.X-Plain: "CAN-02-request-set-plain"
      fairway.headers.request.add.X-Key: "CAN-03-request-add"
      fairway.headers.response.set.Set-Cookie: "id=CAN-04-response-set"
      fairway.headers.response.add.X-Auth-Token: "CAN-05-response-add"
      fairway.health.path: "/up?token=CAN-06-health-{path|changed}"
    instances: [{address: "$BACKEND"}]
  - name: ruled
    labels:
      fairway.rule: "Host(` + "`ruled.example`) && Header(`X-Token`, `CAN-07-header`, `CAN-08-{other|changed}`) && !HeaderRegexp(`X-Auth`, `CAN-09-.*`) && (Query(`token`, `CAN-10-query`) || QueryRegexp(`secret`, `CAN-11-.*`)) && Header(`X-Env`, `OPEN-1-env`)" + `"
    instances: [{address: "$BACKEND"}]
  - name: contender
    labels: {fairway.rule: "Host(` + "`contested.example`) && Header(`X-Token`, `CAN-12-contested`)" + `"}
    instances: [{address: "$BACKEND"}]
  - name: loser
    labels: {fairway.rule: "Host(` + "`contested.example`) && Header(`X-Token`, `CAN-12-contested`)" + `"}
    instances: [{address: "$BACKEND"}]
  - name: misspelt
    labels:
      fairway.host: misspelt.example
      fairway.header.request.set.X-Key: "CAN-13-{misspelt|changed}"
      fairway.headers.requst.set.X-Key: "CAN-14-misspelt"
      fairway.headers.set.Authorization: "CAN-15-misspelt"
      fairway.basicauth: "ann:CAN-16-misspelt"
      fairway.basic-auth.users: "ann:CAN-17-misspelt"
    instances: [{address: "$BACKEND"}]
  - name: users
    labels: {fairway.host: users.example, fairway.basic-auth: "ann:CAN-18-inline-{users|changed}"}
    instances: [{address: "$BACKEND"}]
  - name: bad-rule
    labels:
      fairway.rule: "Headerr(` + "`X-Token`, `CAN-19-misspelt-function`)" + `"
      fairway.b.rule: "Host(` + "`b.example`) CAN-20-behind" + `"
      fairway.c.rule: "Header(` + "`X-Token`, `CAN-21-open" + `"
      fairway.d.rule: "HeaderRegexp(` + "`X-Token`, `CAN-22-(`)" + `"
      fairway.e.rule: "HeaderRegexp(` + "`X-Token`, `(?U)CAN-23-unsupported`)" + `"
    instances: [{address: "$BACKEND"}]
  - name: moved
    labels:
      fairway.host: moved.example
      fairway.redirect: "https://ann:CAN-24-password@new.example"
      fairway.b.host: b.moved.example
      fairway.b.redirect: "https://new.example/?token=CAN-25-query"
      fairway.c.host: c.moved.example
      fairway.c.redirect: "https://ann:CAN-26-password@new.example:port"
    instances: [{address: "$BACKEND"}]
  - name: checked
    labels: {fairway.host: checked.example, fairway.health.path: "up?token=CAN-27-bad-path"}
    instances: [{address: "$BACKEND"}]
  - name: flow
    labels:
      com.df.notify: "true"
      com.df.serviceDomain: flow.example
      com.df.port: "$PORT"
      com.df.users: "ann:CAN-28-{users|changed},bob:{SHA}CAN-29-hash="
      com.df.addReqHeader: "X-A CAN-30-{add|changed},CAN-31-value-with-comma x"
      com.df.setReqHeader: "Authorization 'Basic CAN-32-set'"
      com.df.addHeader: "X-B CAN-33-add"
      com.df.setHeader: "X-C CAN-34-{set|changed}"
      com.df.setResHeader: "Set-Cookie CAN-35-response"
      com.df.serviceHeader: "X-Token:CAN-36-{header|changed}"
      com.df.userAgent: "OPEN-2-agent"
      com.df.userDef: "CAN-37-template"
      com.df.alertIf: "CAN-38-unknown"
      com.df.addReqHead: "CAN-39-misspelt"
    instances: [{address: "$BACKEND"}]
  - name: flow-headers
    labels:
      com.df.notify: "true"
      com.df.serviceDomain: headers.example
      com.df.port: "$PORT"
      com.df.addReqHeader: "X-A CAN-46-add"
    instances: [{address: "$BACKEND"}]
  - name: snippet
    labels:
      com.df.notify: "true"
      com.df.serviceDomain: snippet.example
      com.df.port: "$PORT"
      com.df.backendExtra: "http-request set-header X-Key CAN-40-{snippet|changed}"
    instances: [{address: "$BACKEND"}]
  - name: bad-snippet
    labels:
      com.df.notify: "true"
      com.df.serviceDomain: bad-snippet.example
      com.df.port: "$PORT"
      com.df.backendExtra: "http-request set-header X-Key %[CAN-41-snippet]"
    instances: [{address: "$BACKEND"}]
  - name: bad-flow
    labels:
      com.df.notify: "true"
      com.df.serviceDomain: bad-flow.example
      com.df.port: "$PORT"
      com.df.setReqHeader: "X-Key:CAN-42-colon x"
      com.df.users: "ann:CAN-43-plain"
      com.df.usersPassEncrypted: "true"
      com.df.serviceCert: "CAN-44-certificate"
    instances: [{address: "$BACKEND"}]
  - name: own
    labels: {fairway.host: own.localhost}
    instances: [{address: "$BACKEND"}]
  - name: obtained
    labels: {fairway.host: a-host.test}
    instances: [{address: "$BACKEND"}]
  - name: gone
    labels: {fairway.host: gone.example, "fairway.headers.request.set.X-Key": "CAN-45-{gone|stays}"}
    instances: [{address: "$BACKEND"}]
`

// secretConfig is the configuration.
const secretConfig = `listen: 127.0.0.1:0
state-dir: state
file: [services.yml]
access-log: "-"
engine: $ENGINE
admin: {listen: "127.0.0.1:0", token-file: token}
dockerflow:
  labels: true
  proxy: {listen: "127.0.0.1:0"}
  listener: {listen: "127.0.0.1:0"}
notify:
  settle: 0s
  channels:
    - {name: hook, kind: webhook, url: "$RECEIVER/CAN-60-path?key=CAN-61-query", secrets: [signature]}
    - {name: failing, kind: webhook, url-file: hook-url}
    - {name: mail, kind: mail, server: "$NOBODY", tls: none, username: ann, password-file: password, from: a@example.com, to: [b@example.com]}
`
