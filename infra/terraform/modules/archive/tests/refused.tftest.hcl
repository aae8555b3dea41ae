# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
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

run "refused_1" {
  command = plan

  variables {
    schedule       = "hourly"
    lock_mode      = "OFF"
    retention_days = 36501
  }

  expect_failures = [
    var.schedule,
    var.lock_mode,
    var.retention_days,
  ]
}
