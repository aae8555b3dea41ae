# Every validation refuses what it is there for.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  release = "v1.0.0"
  domain  = "chat.example.com"
  zone_id = "Z0123456789"
  secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
}

run "region" {
  command = plan
  variables {
    region = "Frankfurt"
  }
  expect_failures = [var.region]
}

run "zones" {
  command = plan
  variables {
    zones = ["a"]
  }
  expect_failures = [var.zones]
}

run "name" {
  command = plan
  variables {
    name = "Sponge"
  }
  expect_failures = [var.name]
}

run "release" {
  command = plan
  variables {
    release = "latest"
  }
  expect_failures = [var.release]
}

run "domain" {
  command = plan
  variables {
    domain = "localhost"
  }
  expect_failures = [var.domain]
}

run "zone_id" {
  command = plan
  variables {
    zone_id = "chat"
  }
  expect_failures = [var.zone_id]
}

run "secrets" {
  command = plan
  variables {
    secrets = { worker_key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", seal_key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=", mysql_password = "short", redis_token = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", kafka_password = "cccccccccccccccccccccccccccccc" }
  }
  expect_failures = [var.secrets]
}

run "secrets_version" {
  command = plan
  variables {
    secrets_version = 0
  }
  expect_failures = [var.secrets_version]
}

run "keys_version" {
  command = plan
  variables {
    keys_version = 0
  }
  expect_failures = [var.keys_version]
}

run "alarm_emails" {
  command = plan
  variables {
    alarm_emails = ["nobody"]
  }
  expect_failures = [var.alarm_emails]
}

run "workers_runtime" {
  command = plan
  variables {
    workers_runtime = "kubernetes"
  }
  expect_failures = [var.workers_runtime]
}

run "archive_retention_days" {
  command = plan
  variables {
    archive_retention_days = 0
  }
  expect_failures = [var.archive_retention_days]
}
