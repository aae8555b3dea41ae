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
    mysql_password = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    redis_token    = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    kafka_password = "cccccccccccccccccccccccccccccc"
  }
}

run "ecs" {
  command = plan
}

run "applied" {
  command = apply
}

run "lambda" {
  command = plan
  variables {
    workers_runtime = "lambda"
  }
}
