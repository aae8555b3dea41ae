# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  cluster           = "chat"
  metrics           = { namespace = "Sponge", connections = "Connections", age = "OldestUnhandledAge", stopped = "PartitionsStopped", dead = "DeadFrames", archive_age = "ArchiveAge" }
  groups            = ["login"]
  topics            = { login = "sponge.login" }
  balancer          = { balancer = "net/chat/0", target_groups = { frames = "targetgroup/chat/0" } }
  store_dimensions  = { DBInstanceIdentifier = "chat" }
  channel_ids       = ["chat-001"]
  kafka_kind        = "broker"
  kafka_instance_id = "i-0"
  schedule_group    = "chat"
  kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/0"
}

run "accepted" {
  command = plan
}

run "emails" {
  command = plan
  variables {
    emails = ["nobody"]
  }
  expect_failures = [var.emails]
}

run "age_alarm" {
  command = plan
  variables {
    age_alarm = 0
  }
  expect_failures = [var.age_alarm]
}

run "age_missing" {
  command = plan
  variables {
    age_missing = "maybe"
  }
  expect_failures = [var.age_missing]
}

run "archive_age_hours" {
  command = plan
  variables {
    archive_age_hours = 0
  }
  expect_failures = [var.archive_age_hours]
}

run "kafka_kind" {
  command = plan
  variables {
    kafka_kind = "sqs"
  }
  expect_failures = [var.kafka_kind]
}
