# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  command           = ["audit", "archive", "--to"]
  subnet_ids        = ["subnet-0"]
  security_group_id = "sg-0"
  cluster           = "chat"
  image             = "r/chat:v1"
  environment       = {}
  secrets           = {}
  secrets_version   = "1.1"
  repository_arn    = "arn:aws:ecr:eu-central-1:123456789012:repository/chat"
  kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/0"
  ecs_cluster_arn   = "arn:aws:ecs:eu-central-1:123456789012:cluster/chat"
  ecs_cluster_name  = "chat"
}

run "accepted" {
  command = plan
}

run "schedule" {
  command = plan
  variables {
    schedule = "hourly"
  }
  expect_failures = [var.schedule]
}

run "lock_mode" {
  command = plan
  variables {
    lock_mode = "OFF"
  }
  expect_failures = [var.lock_mode]
}

run "retention_days" {
  command = plan
  variables {
    retention_days = 36501
  }
  expect_failures = [var.retention_days]
}
