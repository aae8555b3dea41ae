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

run "tls_only" {
  assert {
    condition     = output.connect.addresses == { tls = "chat.example.com:8443", wss = "chat.example.com:443" }
    error_message = "Without plain_tcp there is TLS alone."
  }

  assert {
    condition     = output.migrate.public_ip == "ENABLED"
    error_message = "Tasks in public subnets need addresses to fetch their image."
  }
}

run "plain_and_budget" {
  variables {
    plain_tcp    = true
    alarm_emails = ["ops@example.com"]
  }

  assert {
    condition     = output.connect.addresses.frames == "chat.example.com:8000"
    error_message = "plain_tcp opens 8000."
  }
}

# Functions would need MSK: the second runtime is refused here, by a sentence.
run "lambda_is_refused" {
  command = plan
  variables {
    workers_runtime = "lambda"
  }
  expect_failures = [var.workers_runtime]
}
