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

run "refused_1" {
  command = plan

  variables {
    emails            = ["nobody"]
    age_alarm         = 0
    age_missing       = "maybe"
    archive_age_hours = 0
    kafka_kind        = "sqs"
  }

  expect_failures = [
    var.emails,
    var.age_alarm,
    var.age_missing,
    var.archive_age_hours,
    var.kafka_kind,
  ]
}
