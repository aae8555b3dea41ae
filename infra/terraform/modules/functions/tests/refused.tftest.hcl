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

run "memory" {
  command = plan
  variables {
    memory = 128
  }
  expect_failures = [var.memory]
}

run "timeout" {
  command = plan
  variables {
    timeout = 4
  }
  expect_failures = [var.timeout]
}

run "batch_size" {
  command = plan
  variables {
    batch_size = 0
  }
  expect_failures = [var.batch_size]
}

run "pollers" {
  command = plan
  variables {
    pollers = { min = 0, max = 1 }
  }
  expect_failures = [var.pollers]
}
