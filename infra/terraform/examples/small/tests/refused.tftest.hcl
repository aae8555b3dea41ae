# Every validation refuses what it is there for.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  release = "v1.0.0"
  domain  = "chat.example.com"
  zone_id = "Z0123456789"
  secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
}

run "refused_1" {
  command = plan

  variables {
    region          = "Frankfurt"
    zones           = ["a"]
    name            = "Sponge"
    release         = "latest"
    domain          = "localhost"
    secrets         = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", audit_key = "YXJjaGl2ZXMgYXJlIHNpZ25lZCB3aXRoIHRoaXMga2U=", mysql_password = "short", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
    secrets_version = 0
    keys_version    = 0
    alarm_emails    = ["nobody"]
    workers_runtime = "kubernetes"
    monthly_budget  = 0
  }

  expect_failures = [
    var.region,
    var.zones,
    var.name,
    var.release,
    var.domain,
    var.secrets,
    var.secrets_version,
    var.keys_version,
    var.alarm_emails,
    var.workers_runtime,
    var.monthly_budget,
  ]
}

run "zone_id" {
  command = plan

  variables {
    zone_id = "chat"
  }

  expect_failures = [var.zone_id]
}
