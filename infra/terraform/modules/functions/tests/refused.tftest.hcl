# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  groups              = ["login"]
  topics              = { login = "sponge.login" }
  partitions          = { login = 16 }
  migrate_environment = {}
  secret_arns         = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"]
  kafka_cluster_arn   = "arn:aws:kafka:eu-central-1:123456789012:cluster/chat/0"
  kafka_secret_arn    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x"
  subnet_ids          = ["subnet-0"]
  security_group_id   = "sg-0"
  cluster             = "chat"
  image               = "r/chat:v1"
  environment         = {}
  secrets_version     = "1.1"
  kms_key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/0"
}

run "accepted" {
  command = plan
}

run "refused_1" {
  command = plan

  variables {
    timeout    = 4
    batch_size = 0
    pollers    = { min = 0, max = 1 }
  }

  expect_failures = [
    var.timeout,
    var.batch_size,
    var.pollers,
  ]
}

run "memory" {
  command = plan

  variables {
    memory = 128
  }

  expect_failures = [var.memory]
}
