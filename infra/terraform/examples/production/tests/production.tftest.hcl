# The keys are bytes that say so; nothing here is a secret of anybody.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  release = "v1.0.0"
  domain  = "chat.example.com"
  zone_id = "Z0123456789"

  secrets = {
    worker_key     = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    seal_key       = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
    audit_key      = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U="
    mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    redis_token    = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    kafka_password = "cccccccccccccccccccccccccccccc"
  }
}

run "ecs" {
  assert {
    condition     = output.connect.addresses == { tls = "chat.example.com:8443", wss = "chat.example.com:443" }
    error_message = "Production listens with TLS alone."
  }

  assert {
    condition     = output.connect.websocket == "wss://chat.example.com/ws"
    error_message = "The WebSocket's URL is told."
  }

  assert {
    condition     = startswith(output.archive, "s3://sponge-audit-") && endswith(output.archive, "/audit")
    error_message = "The archive's place is told."
  }
}

run "lambda" {
  variables {
    workers_runtime = "lambda"
  }

  assert {
    condition     = output.connect.host == "chat.example.com"
    error_message = "Clients notice nothing of the runtime."
  }
}

