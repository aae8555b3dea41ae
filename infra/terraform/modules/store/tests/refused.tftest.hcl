# Every validation refuses what it is there for, and nothing else.
mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  name                      = "chat"
  engine_version            = "8.0.mysql_aurora.3.10.1"
  instance_class            = "db.r8g.large"
  password                  = "aaaaaaaaaaaaaaaaaaaaaaaa"
  password_version          = 1
  port                      = 3306
  kms_key_arn               = "arn:aws:kms:eu-central-1:123456789012:key/0"
  vpc_id                    = "vpc-0"
  subnet_ids                = ["subnet-0", "subnet-1", "subnet-2"]
  client_security_group_ids = { workers = "sg-0" }
}

run "accepted" {
  command = plan
}

run "refused_1" {
  command = plan

  variables {
    engine_version        = "8.4"
    instance_class        = "r8g.large"
    instances             = 0
    serverless_capacity   = { min = 4, max = 2 }
    storage_gib           = 19
    backup_retention_days = 36
  }

  expect_failures = [
    var.engine_version,
    var.instance_class,
    var.instances,
    var.serverless_capacity,
    var.storage_gib,
    var.backup_retention_days,
  ]
}

run "engine" {
  command = plan

  variables {
    engine = "mariadb"
  }

  expect_failures = [var.engine]
}

run "storage_max_gib" {
  command = plan

  variables {
    storage_max_gib = 19
  }

  expect_failures = [var.storage_max_gib]
}
